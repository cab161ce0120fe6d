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

// What the conditions of one row see: item.X is its own X or the default, data.X its own rule or else the general one.
function itemValues(values, members, item) {
  const seen = { ...values };
  for (const member of members) {
    const own = item[member.name] ?? null;
    if (!member.inherits) seen["item." + member.name] = own ?? member.default;
    else if (own !== null) seen["data." + member.name] = own;
  }
  return seen;
}
