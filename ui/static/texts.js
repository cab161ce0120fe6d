// A text with its gaps filled: {num} is the value, {num:picture|pictures} the first for one and the second for all else.
const filled = (text, gaps) => text.replace(/\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}/g, (whole, gap, one, others) => {
  if (!(gap in gaps)) return whole;
  return one === undefined ? gaps[gap] : String(gaps[gap]) === "1" ? one : others;
});
