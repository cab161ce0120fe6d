// One operation over many captions: which, over which pictures, how many it would change, and how; and what was done so far.
const batch = { operation: kept("operation", props.value.operations[0].name), scope: kept("scope", "shown"), values: JSON.parse(kept("values", "{}")), ticket: 0 };

function operationField(field) {
  const id = "captions-batch-" + field.name;
  const value = batch.values[field.name] ?? field.default;
  const set = (value) => { batch.values[field.name] = value; keep("values", JSON.stringify(batch.values)); showFields(); previewBatch(); };
  if (field.kind === "bool") return el("label", { class: "batch-check", "data-field": field.name }, el("input", { type: "checkbox", id, checked: Boolean(value), onchange: (event) => set(event.target.checked) }), field.label);
  const input = field.kind === "choice"
    ? el("select", { id, onchange: (event) => set(event.target.value) }, ...field.choices.map((choice) => el("option", { value: choice.value, selected: choice.value === value }, choice.label)))
    : el("input", { id, class: "data-search", type: field.kind === "int" ? "number" : "text", min: field.kind === "int" ? field.minimum : null, value, spellcheck: "false", oninput: (event) => set(event.target.value), onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && applyBatch() });
  return el("label", { class: "batch-field", for: id, "data-field": field.name }, el("span", {}, field.label), input);
}

const chosenOperation = () => props.value.operations.find((each) => each.name === batch.operation) ?? props.value.operations[0];

// Hides the fields that another field's value makes pointless.
function showFields() {
  const { fields } = chosenOperation();
  for (const { name, when } of fields) {
    const value = when && (batch.values[when[0]] ?? fields.find((field) => field.name === when[0]).default);
    part("batch-fields").querySelector(`[data-field="${name}"]`).hidden = Boolean(when) && value !== when[1];
  }
}

function drawFields() {
  const operation = chosenOperation();
  part("batch-fields").replaceChildren(el("p", { class: "quiet" }, operation.help), ...operation.fields.map(operationField));
  showFields();
}

// An operation over all captions, ready to be looked at and done.
function showBatch(operation) {
  Object.assign(batch, { operation, scope: "all" });
  keep("operation", operation);
  keep("scope", "all");
  root.querySelector("#captions-operation").value = operation;
  root.querySelector("#captions-scope").value = "all";
  drawFields();
  showTab("batch");
  showPane("side");
}

const batchRequest = () => ({ operation: chosenOperation().name, values: batch.values, scope: batch.scope, ...filtered(), ids: batch.scope === "selected" ? toText(meant()) : "" });
const previewBatch = later(220, async () => {
  if (state.tab !== "batch" || !state.info) return;
  const mine = ++batch.ticket;
  await save();
  const answer = await Promise.resolve(server.preview({ folder: state.folder, ...batchRequest() })).catch(() => null);
  if (mine !== batch.ticket || !answer) return;
  const line = part("batch-count");
  line.className = answer.error ? "field-error" : "batch-count";
  tell(line, answer.error || (answer.num ? words("batch.count", { num: many(answer.num), total: many(answer.total) }) : words("batch.nothing", { total: many(answer.total) })));
  setOff(root.querySelector("#captions-apply"), answer.error || !answer.num);
  part("batch-examples").replaceChildren(...(answer.examples ?? []).map(exampleNode));
});

// The tags of a text, with those marked that the other one lacks.
function marked(text, other, name) {
  const both = new Set(splitTags(other));
  return splitTags(text).flatMap((tag, at) => [at ? ", " : "", both.has(tag) ? tag : el(name, {}, tag)]);
}

// Before and after, with what goes struck through and what comes marked.
function exampleNode({ id, name, before, after }) {
  const show = (kind, ...nodes) => el("p", { class: "batch-" + kind }, ...nodes);
  return el("li", {}, el("button", { type: "button", class: "link-button", onclick: () => { const at = state.ids.indexOf(id); if (at >= 0) go(at, { hold: true }); } }, name), show("before", ...marked(before, after, "del")), show("after", ...marked(after, before, "ins")));
}

async function applyBatch() {
  const apply = root.querySelector("#captions-apply");
  if (isOff(apply)) return;
  setOff(apply, true);
  await settled();
  await save();
  const answer = await ask("apply", batchRequest());
  if (answer && !answer.error) { said(answer); took(answer); await look(); }
  previewBatch();
}

// What a change did, and the way back.
const said = (answer) => say(answer.done ?? "", "done", button(words("undo"), () => travel("undo"), { "data-tool": "undo-done" }));

// `about`: what becomes of files that others have changed since; without it, nothing is done where there are any.
const travel = (direction, about = "refuse") => inTurn(async () => {
  await save();
  const answer = await ask(direction, { about });
  if (!answer || answer.error) return;
  if (answer.external) return say(answer.text, "error", button(words("undo.skip"), () => travel(direction, "skip"), { "data-tool": "undo-skip" }), button(words("undo.force"), () => travel(direction, "overwrite")));
  state.conflicts.clear();
  await took(answer);
  say(answer.done, "done");
  await look();
  previewBatch();
});

function showHistory(history) {
  const undo = root.querySelector("#captions-undo");
  const redo = root.querySelector("#captions-redo");
  setOff(undo, !history.undo);
  setOff(redo, !history.redo);
  undo.title = history.undo ? `${words("undo")}: ${history.undo} (Ctrl+Z)` : words("undo");
  redo.title = history.redo ? `${words("redo")}: ${history.redo} (Ctrl+Y)` : words("redo");
  const item = ({ name, num, when, is_undone }) => el("li", { class: is_undone ? "is-undone" : "" }, el("span", {}, name), el("small", {}, `${words("history.pictures", { num: many(num) })} \u00b7 ${when}`));
  part("history").replaceChildren(...(history.items.length ? history.items.map(item) : [el("li", { class: "quiet" }, words("history.none"))]));
}

function batchNode() {
  const select = (id, label, value, options, changed) => el("label", { class: "batch-field", for: id }, el("span", {}, label), el("select", { id, onchange: (event) => { changed(event.target.value); previewBatch(); } }, ...options.map(([name, text]) => el("option", { value: name, selected: name === value }, text))));
  return el("section", { class: "captions-batch", ...panelOf("batch"), hidden: true },
    select("captions-operation", words("batch.operation"), batch.operation, props.value.operations.map((each) => [each.name, each.label]), (value) => { batch.operation = value; keep("operation", value); drawFields(); }),
    el("div", { class: "batch-fields", "data-part": "batch-fields" }),
    select("captions-scope", words("batch.scope"), batch.scope, ["all", "shown", "selected"].map((scope) => [scope, words("scope." + scope)]), (value) => { batch.scope = value; keep("scope", value); }),
    el("p", { class: "batch-count", role: "status", "data-part": "batch-count" }),
    button(words("batch.apply"), applyBatch, { class: "main-button", id: "captions-apply", "aria-disabled": "true" }),
    el("ul", { class: "batch-examples", "data-part": "batch-examples" }));
}

const historyNode = () => el("section", { class: "captions-history", ...panelOf("history"), hidden: true }, el("p", { class: "quiet" }, words("history.help")), el("ol", { "data-part": "history" }));
