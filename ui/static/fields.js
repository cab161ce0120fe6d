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

function control(field, id, changed) {
  const common = { id, "aria-describedby": id + "-help", onchange: changed };
  if (field.kind === "bool") return el("input", { ...common, type: "checkbox" });
  if (field.kind === "choice") {
    const options = field.choices.map((c) => el("option", { value: String(c.value) }, c.label || props.value.texts.unset));
    return el("select", common, ...options);
  }
  if (field.widget === "textarea") return el("textarea", { ...common, rows: 2 });
  const number = field.kind === "int" || field.kind === "float";
  const extra = number ? { inputmode: "decimal", class: "number", autocomplete: "off" } : {};
  return el("input", { ...common, type: "text", spellcheck: "false", ...extra });
}

function showValue(field, input, value) {
  if (field.kind === "bool") input.checked = Boolean(value);
  else if (document.activeElement !== input || input.dataset.sent === input.value) {
    input.value = field.kind === "choice" ? String(value ?? "") : numberText(value);
  }
}

function readValue(field, input) {
  if (field.kind === "bool") return input.checked;
  input.dataset.sent = input.value;
  return input.value;
}

function range(field) {
  const t = props.value.texts;
  const low = field.minimum, high = field.maximum;
  if (low !== null && high !== null) return `${numberText(low)} - ${numberText(high)}`;
  if (low !== null) return (field.exclusive ? t.more_than : t.at_least).replace("{value}", numberText(low));
  return high !== null ? t.at_most.replace("{value}", numberText(high)) : "";
}

// A list of items, such as data sets: rows of small fields, each removable, and one button to add.
function listEditor(field, members, changed) {
  const box = el("div", { class: "list-editor" });
  const rows = () => [...box.querySelectorAll(":scope > .list-row")];
  const read = () => rows().map((row) => Object.fromEntries(members.map((m) => [m.name, readValue(m, row.querySelector(`[data-member="${m.name}"]`))])));
  const addRow = (item) => {
    const number = rows().length;
    const row = el("div", { class: "list-row" });
    for (const member of members) {
      const id = `${field.id}-${number}-${member.name}`;
      const input = control(member, id + "-input", () => changed(read()));
      input.dataset.member = member.name;
      showValue(member, input, item[member.name] ?? member.default);
      const browse = member.widget === "folder" && el("button", { type: "button", class: "small-button", "data-browse": id, "data-kind": "folder" }, props.value.texts.browse);
      row.append(el("div", { class: "list-cell kind-" + member.kind, id },
        el("label", { for: id + "-input", title: member.help }, member.label, member.unit ? el("small", {}, " " + member.unit) : null),
        el("div", { class: "with-button" }, input, browse || null)));
    }
    row.append(el("button", { type: "button", class: "small-button", title: props.value.texts.remove, "aria-label": props.value.texts.remove, onclick: () => { row.remove(); changed(read()); } }, "\u00d7"));
    box.insertBefore(row, box.querySelector(":scope > .list-add"));
  };
  box.append(el("button", { type: "button", class: "small-button list-add", onclick: () => { addRow({}); changed(read()); rows().at(-1).querySelector("input,textarea").focus(); } }, "+ " + props.value.texts.add));
  box.showItems = (items) => {
    const wanted = JSON.stringify(items ?? []);
    if (wanted === box.dataset.items || box.contains(document.activeElement) && rows().length === (items ?? []).length) { box.dataset.items = wanted; return; }
    box.dataset.items = wanted;
    rows().forEach((row) => row.remove());
    (items ?? []).forEach(addRow);
  };
  return box;
}
