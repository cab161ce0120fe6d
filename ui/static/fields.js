// One control for one field of the schema, by its kind. make() builds it, show() puts a value into it, read() takes it out.
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

// 0.0001 as 1e-4, as people write learning rates.
function numberText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return value.toExponential().replace(/e([+-])0*/, "e$1").replace("e+", "e");
  return String(value);
}

const isNumber = (field) => field.kind === "int" || field.kind === "float";
const isList = (field) => field.kind === "strings" || field.kind === "numbers";
const isSelect = (field) => field.kind === "choice" || (field.kind === "bool" && field.inherits);

// Values of a list are separated by commas; texts with a comma in them stand one in each line.
function listText(values) {
  if (!Array.isArray(values)) return String(values ?? "");
  return values.some((value) => String(value).includes(",")) ? values.join("\n") + "\n" : values.join(", ");
}

const valueText = (field, value) => (isList(field) ? listText(value) : numberText(value));

// A value in words, as the general settings have it.
function inWords(field, value) {
  const t = props.value.texts;
  if (field.kind === "bool") return value ? t.on : t.off;
  if (field.kind === "choice") return field.choices.find((c) => c.value === value)?.label ?? String(value ?? "");
  return valueText(field, value).trim() || t.empty;
}

function control(field, id, changed) {
  const t = props.value.texts;
  const common = { id, "aria-describedby": id + "-help", onchange: (event) => { event.target.dataset.own = "1"; changed(); } };
  if (isSelect(field)) {
    const choices = field.kind === "bool" ? [{ value: true, label: t.on }, { value: false, label: t.off }] : field.choices;
    const options = choices.map((c) => el("option", { value: String(c.value) }, c.label || t.unset));
    return el("select", common, field.inherits ? el("option", { value: "" }, t.as_general) : null, ...options);
  }
  if (field.kind === "bool") return el("input", { ...common, type: "checkbox" });
  if (field.widget === "textarea") return el("textarea", { ...common, rows: 2 });
  if (field.kind === "strings") return el("textarea", { ...common, rows: 1, spellcheck: "false", placeholder: t.list_hint });
  const extra = isNumber(field) ? { inputmode: "decimal", class: "number", autocomplete: "off" } : {};
  return el("input", { ...common, type: "text", spellcheck: "false", ...extra });
}

// `general` is what holds when a rule of a row is empty.
function showValue(field, input, value, general) {
  const own = value !== null && value !== undefined;
  if (field.inherits) {
    const hint = `${props.value.texts.as_general}: ${inWords(field, general)}`;
    input.dataset.own = own ? "1" : "";
    if (isSelect(field)) input.options[0].textContent = hint;
    else input.placeholder = own ? props.value.texts.empty : hint;
  }
  if (input.type === "checkbox") input.checked = Boolean(value);
  else if (document.activeElement !== input || input.dataset.sent === input.value) {
    input.value = isSelect(field) ? String(value ?? "") : valueText(field, value);
    if (field.kind === "strings") input.rows = Math.min(6, input.value.split("\n").length);
  }
}

// A rule of a row that was never set is null; one that was emptied is empty.
function readValue(field, input) {
  if (input.type === "checkbox") return input.checked;
  input.dataset.sent = input.value;
  return field.inherits && input.value === "" && (isSelect(field) || !input.dataset.own) ? null : input.value;
}

function range(field) {
  const t = props.value.texts;
  const low = field.minimum, high = field.maximum;
  if (low !== null && high !== null) return `${numberText(low)} - ${numberText(high)}`;
  if (low !== null) return (field.exclusive ? t.more_than : t.at_least).replace("{value}", numberText(low));
  return high !== null ? t.at_most.replace("{value}", numberText(high)) : "";
}

// One item of a list, such as a data set: what is basic, then what is more, then the rules that it may set for itself.
// show(item, values) puts an item in, with the flat values of the whole configuration; read() takes it out.
function rowForm(members, id, changed, { wanted = () => true, rules = props.value.texts.rules } = {}) {
  const t = props.value.texts;
  const cells = {};
  let shown = {};
  const read = () => ({ ...shown, ...Object.fromEntries(members.map((m) => [m.name, readValue(m, cells[m.name].input)])) });
  const cell = (member) => {
    const name = `${id}-${member.name}`;
    const input = control(member, name + "-input", changed);
    input.dataset.member = member.name;
    const kind = { folder: "folder", file: "code" }[member.widget];
    const browse = kind && el("button", { type: "button", class: "small-button", "data-browse": name, "data-kind": member.name === "path" ? "data" : kind }, t.browse);
    const dot = member.inherits && el("button", { type: "button", class: "field-dot", hidden: true, title: t.own, "aria-label": `${t.own}: ${member.label}`, onclick: () => { input.value = input.dataset.own = ""; changed(); } }, "\u25cf");
    const help = el("p", { class: "field-help", id: name + "-input-help", hidden: true }, member.help, range(member) ? el("span", { class: "field-range" }, " " + range(member)) : null);
    const question = el("button", { type: "button", class: "field-help-button", title: t.help, "aria-expanded": "false", "aria-label": `${t.help}: ${member.label}`, onclick: () => { help.hidden = !help.hidden; question.setAttribute("aria-expanded", !help.hidden); } }, "?");
    const node = el("div", { class: `list-cell kind-${member.kind} widget-${member.widget}`, id: name },
      el("div", { class: "field-label" }, el("label", { for: name + "-input", title: member.help }, member.label, member.unit ? el("small", {}, " " + member.unit) : null), dot || null, question),
      el("div", { class: "with-button" }, input, browse || null), help);
    cells[member.name] = { member, input, dot, node };
    return node;
  };
  const groups = [];
  const group = (name, title, ...nodes) => {
    const count = el("b", { hidden: true });
    const node = el("details", { class: "row-group", "data-group": name }, el("summary", {}, title, " ", count), ...nodes);
    groups.push({ node, count, names: [...node.querySelectorAll("[data-member]")].map((input) => input.dataset.member) });
    return node;
  };
  const of = (name) => members.filter((m) => m.group === name).map(cell);
  const fields = (nodes) => el("div", { class: "row-fields" }, ...nodes);
  const node = el("div", { class: "list-row" }, el("div", { class: "row-main" }, ...of("main")));
  if (members.some((m) => m.group === "more")) node.append(group("more", t.more, fields(of("more"))));
  if (members.some((m) => m.group === "geometry")) {
    const topic = (name) => [el("h5", {}, t["topic." + name]), fields(of(name))];
    const hint = members.some((m) => m.inherits) ? [el("p", { class: "field-help" }, t.rules_hint)] : [];
    node.append(group("rules", rules, ...hint, ...topic("geometry"), ...topic("captions")));
  }
  const isSet = (m) => (m.inherits ? shown[m.name] !== null && shown[m.name] !== undefined : JSON.stringify(shown[m.name] ?? m.default) !== JSON.stringify(m.default));
  const show = (item, values) => {
    shown = item;
    const seen = itemValues(values, members, item);
    for (const { member, input, dot, node } of Object.values(cells)) {
      showValue(member, input, item[member.name] ?? (member.inherits ? null : member.default), values[member.general]);
      if (dot) dot.hidden = !isSet(member);
      const applies = failing(member, seen, props.value.schema.facts).length === 0;
      node.hidden = !isSet(member) && (!applies || !wanted(member));
      node.classList.toggle("no-effect", !applies);
    }
    for (const { count, names } of groups) {
      const num = names.filter((name) => isSet(cells[name].member)).length;
      count.textContent = num;
      count.hidden = !num;
    }
  };
  const focus = (name) => {
    const input = cells[name]?.input ?? node.querySelector("input, textarea, select");
    if (input.closest("details")) input.closest("details").open = true;
    input.closest(".list-cell").hidden = false;
    input.focus();
  };
  return { node, show, read, focus };
}

// A list of items: one form for each, removable, and one button to add.
function listEditor(field, members, changed, wanted) {
  const t = props.value.texts;
  const box = el("div", { class: "list-editor" });
  const forms = [];
  let general = {};
  const read = () => forms.map((form) => form.read());
  const add = el("button", { type: "button", class: "small-button list-add", onclick: () => { addForm(); changed(read()); forms.at(-1).focus(members[0].name); } }, "+ " + t.add);
  const addForm = () => {
    const index = forms.length;
    const form = rowForm(members, `${field.id}-${index}`, () => changed(read()), { wanted });
    form.node.append(el("button", { type: "button", class: "small-button list-remove", title: t.remove, "aria-label": t.remove, onclick: () => changed(read().filter((_, i) => i !== index)) }, "\u00d7"));
    form.show({}, general);
    forms.push(form);
    box.insertBefore(form.node, add);
  };
  box.append(add);
  box.showItems = (items, values) => {
    general = values;
    while (forms.length > (items ?? []).length) forms.pop().node.remove();
    while (forms.length < (items ?? []).length) addForm();
    (items ?? []).forEach((item, index) => forms[index].show(item, values));
  };
  box.focusItem = (index, name) => forms[index]?.focus(name);
  return box;
}
