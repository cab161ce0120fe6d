// When a field applies: the same conditions that backend/config/base.py evaluates. A path that is unknown hides nothing.
const operators = {
  eq: (actual, value) => actual === value,
  ne: (actual, value) => actual !== value,
  in: (actual, value) => value.includes(actual),
  gt: (actual, value) => actual !== null && Number(actual) > value,
  contains: (actual, value) => actual.includes(value),
};
function failing(field, values, facts) {
  const all = { ...values, ...(facts[values["model.family"]] || {}) };
  return field.when.filter((c) => c.path in all && !operators[c.op](all[c.path], c.value));
}
