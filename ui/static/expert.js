// The expert form: every field of the schema, searched, filtered and shown by conditions, with a panel beside it.
// Body of js_on_load of ui/pages/expert.py. props.value: schema, texts, tiers, tier, defaults. server: the page's methods.
const { schema, texts, tiers, defaults } = props.value;
const TIERS = tiers.map((t) => t.value);
const remember = (name, value) => localStorage.setItem("athanor.expert." + name, value);
const recall = (name, otherwise) => localStorage.getItem("athanor.expert." + name) ?? otherwise;
const view = { tier: recall("tier", props.value.tier), changedOnly: false, search: "", section: recall("section", schema.sections[0].name), panel: recall("panel", "plan"), snapshot: null, tomlEdited: false, tomlSent: null };
const byPath = Object.fromEntries(schema.fields.map((field) => [field.path, field]));
const nodes = {};
// A call that does not come back (the app was closed) is said, and the next one is tried all the same.
async function ask(method, argument) {
  const answer = await Promise.resolve(server[method](argument)).catch(() => null);
  if (!answer?.values) {
    say(texts.unreachable, true);
    return null;
  }
  return answer;
}
// Changes are sent one after the other, so that an answer never overtakes a later change.
// Only the last answer is shown: an earlier one does not know what was typed meanwhile.
let sending = Promise.resolve();
let waiting = 0;
function inTurn(method, argument, note) {
  waiting += 1;
  sending = sending.then(async () => {
    const answer = await ask(method, argument);
    waiting -= 1;
    if (!waiting || answer?.failed) apply(answer, note);
  });
  return sending;
}
const part = (name) => element.querySelector(`[data-part="${name}"]`);

function fieldNode(field) {
  const changed = (value) => send(field, value);
  const list = field.kind in schema.items;
  const input = list ? listEditor(field, schema.items[field.kind], changed, (member) => member.tier !== "experimental" || view.tier === "experimental") : control(field, field.id + "-input", () => changed(readValue(field, input)));
  const dot = el("button", { type: "button", class: "field-dot", hidden: true, title: texts.reset_field, "aria-label": texts.reset_field + ": " + field.label, onclick: () => send(field, null) }, "\u25cf");
  const question = el("button", { type: "button", class: "field-help-button", title: texts.help, "aria-label": texts.help + ": " + field.label, onclick: () => explain(field) }, "?");
  const browse = { folder: "folder", model: "model", file: "model" }[field.widget];
  const label = el("div", { class: "field-label" }, el("label", list ? {} : { for: field.id + "-input" }, field.label), field.unit ? el("small", {}, field.unit) : null, dot, question);
  const body = el("div", { class: "with-button" }, input, browse ? el("button", { type: "button", class: "small-button", "data-browse": field.id, "data-kind": browse }, texts.browse) : null);
  const error = el("p", { class: "field-error", role: "alert", hidden: true });
  const node = el("div", { class: `field kind-${field.kind} ${field.widget && "widget-" + field.widget}`, id: field.id, "data-path": field.path }, label, body, error, el("p", { class: "field-help", id: field.id + "-input-help" }, field.help));
  if (range(field)) node.querySelector(".field-help").append(el("span", { class: "field-range" }, " " + range(field)));
  nodes[field.path] = { field, node, input, dot, error, list };
  return node;
}

// Lists come first in their section.
function fieldsOf(section) {
  const fields = schema.fields.filter((field) => field.section === section);
  return [...fields.filter((field) => field.kind in schema.items), ...fields.filter((field) => !(field.kind in schema.items))];
}

function build() {
  const option = (c) => el("option", { value: c.value }, c.label);
  const tierSelect = el("select", { id: "expert-tier", "aria-label": texts.tier, onchange: (e) => { view.tier = e.target.value; remember("tier", view.tier); apply(view.snapshot); } }, ...tiers.map(option));
  tierSelect.value = view.tier;
  const loader = (name, call) => el("select", { id: "expert-" + name, "data-part": name, "aria-label": texts[name], onchange: async (e) => { const value = e.target.value; e.target.value = ""; if (value) take(call, value); } });
  const file = el("input", { type: "file", accept: ".toml", hidden: true, onchange: async (e) => { const chosen = e.target.files[0]; if (chosen) take("set_toml", await chosen.text()); e.target.value = ""; } });
  const toolbar = el("div", { class: "expert-toolbar" },
    el("input", { type: "search", id: "expert-search", "data-search": true, placeholder: texts.search, "aria-label": texts.search, oninput: (e) => { view.search = e.target.value.trim().toLowerCase(); filter(); }, onkeydown: (e) => { if (e.key === "Escape") { e.target.value = ""; view.search = ""; filter(); } } }),
    tierSelect,
    el("label", { class: "expert-check" }, el("input", { type: "checkbox", id: "expert-changed", onchange: (e) => { view.changedOnly = e.target.checked; filter(); } }), texts.changed_only),
    el("span", { class: "spacer" }),
    loader("preset", "load_preset"), loader("history", "load_run"), file,
    el("button", { type: "button", class: "plain-button", id: "expert-open", onclick: () => file.click() }, texts.open),
    el("button", { type: "button", class: "plain-button", id: "expert-save", onclick: download }, texts.save),
    el("button", { type: "button", class: "plain-button", id: "expert-reset", onclick: () => { if (confirm(texts.reset_confirm)) take("reset", null); } }, texts.reset));
  const sections = schema.sections.map((s) => el("section", { id: "section-" + s.name, "data-section": s.name }, el("h3", { "aria-level": 2 }, s.label), el("div", { class: "fields" }, ...fieldsOf(s.name).map(fieldNode))));
  const rail = el("nav", { class: "expert-sections", "aria-label": texts.nothing }, ...schema.sections.map((s) => el("button", { type: "button", "data-section": s.name, onclick: () => goSection(s.name) }, el("span", {}, s.label), el("b", { hidden: true }))));
  const panels = ["plan", "problems", "toml", "command", "help"];
  const tabs = el("div", { class: "panel-tabs", role: "tablist" }, ...panels.map((name) => el("button", { type: "button", role: "tab", id: "panel-tab-" + name, "data-panel": name, onclick: () => showPanel(name) }, texts[name], el("b", { hidden: true }))));
  const toml = el("textarea", { id: "expert-toml", "data-part": "toml", spellcheck: "false", "aria-label": texts.toml, rows: 22, oninput: () => { view.tomlEdited = true; part("toml-apply").disabled = false; }, onchange: applyToml });
  const side = el("aside", { class: "expert-panel" }, tabs,
    el("div", { role: "tabpanel", "data-panel": "plan", "data-part": "plan" }),
    el("div", { role: "tabpanel", "data-panel": "problems" }, el("ul", { class: "expert-problems", "data-part": "problems" })),
    el("div", { role: "tabpanel", "data-panel": "toml" }, el("p", { class: "quiet" }, texts.toml_help), toml, el("button", { type: "button", class: "plain-button", "data-part": "toml-apply", id: "expert-toml-apply", disabled: true, onclick: applyToml }, texts.toml_apply)),
    el("div", { role: "tabpanel", "data-panel": "command" }, el("pre", { "data-part": "command", id: "expert-command" }), el("button", { type: "button", class: "plain-button", onclick: copyCommand }, texts.copy)),
    el("div", { role: "tabpanel", "data-panel": "help", "data-part": "help" }, el("p", { class: "quiet" }, texts.path_hint)),
    el("p", { class: "expert-message", role: "status", "data-part": "message" }),
    el("div", { class: "expert-start" }, el("button", { type: "button", class: "main-button", id: "expert-start", onclick: () => start(false) }, texts.start), el("button", { type: "button", class: "plain-button", id: "expert-queue", onclick: () => start(true) }, texts.queue)));
  const elsewhere = el("ul", { class: "not-here", "data-part": "elsewhere" });
  element.querySelector(".expert-root").replaceChildren(toolbar, el("div", { class: "expert-body" }, rail, el("div", { class: "expert-fields" }, ...sections, elsewhere, el("p", { class: "quiet", "data-part": "none", hidden: true }, texts.none)), side));
  showPanel(view.panel);
}

const words = (field) => [field.label, field.title, field.path, field.help, ...field.aliases];
// A list is found by the fields of its rows, too; rules that a row may set for itself are found as the general ones.
const allWords = (field) => [...words(field), ...(schema.items[field.kind] || []).filter((member) => !member.inherits).flatMap(words)];
const matches = (field) => !view.search || allWords(field).some((text) => text.toLowerCase().includes(view.search));
const inTier = (field) => TIERS.indexOf(field.tier) <= TIERS.indexOf(view.tier);

function reason(field, conditions) {
  return conditions.map((c) => {
    const other = byPath[c.path];
    const value = Array.isArray(c.value) ? c.value.join(", ") : c.value;
    return other ? `${other.label} ${{ eq: "=", ne: "\u2260", in: "=", gt: ">", contains: "=" }[c.op]} ${other.choices?.find((x) => x.value === c.value)?.label ?? value}` : texts.applies_to;
  }).join("; ");
}

function filter() {
  if (!view.snapshot) return;
  const { values, changed } = view.snapshot;
  const wide = Boolean(view.search) || view.changedOnly;
  const hidden = [];
  let shown = 0;
  for (const { field, node } of Object.values(nodes)) {
    const missing = failing(field, values, schema.facts);
    const isChanged = changed.includes(field.path);
    const wanted = matches(field) && (!view.changedOnly || isChanged) && (view.search || isChanged || inTier(field)) && (wide || field.section === view.section);
    const visible = wanted && (missing.length === 0 || isChanged);
    node.hidden = !visible;
    node.classList.toggle("no-effect", missing.length > 0);
    shown += visible;
    if (wanted && !visible && view.search) hidden.push(el("li", {}, el("b", {}, field.label), ` ${texts.not_here} ${reason(field, missing)}`));
  }
  for (const section of element.querySelectorAll("section[data-section]")) section.hidden = ![...section.querySelectorAll(".field")].some((node) => !node.hidden);
  part("elsewhere").replaceChildren(...hidden);
  part("none").hidden = shown + hidden.length > 0;
  part("none").textContent = wide ? texts.none : texts.tier_hides;
  for (const button of element.querySelectorAll(".expert-sections button")) {
    const count = changed.filter((path) => byPath[path]?.section === button.dataset.section).length;
    button.querySelector("b").textContent = count;
    button.querySelector("b").hidden = !count;
    button.toggleAttribute("aria-current", !wide && button.dataset.section === view.section);
  }
}

function goSection(name) {
  view.section = name;
  view.search = "";
  view.changedOnly = false;
  element.querySelector("#expert-search").value = "";
  element.querySelector("#expert-changed").checked = false;
  remember("section", name);
  filter();
}

function showPanel(name) {
  view.panel = name;
  remember("panel", name);
  for (const node of element.querySelectorAll("[role=tabpanel]")) node.hidden = node.dataset.panel !== name;
  for (const tab of element.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", tab.dataset.panel === name);
}

function explain(field) {
  const rows = [[texts.path, field.path], [texts.default, field.kind in schema.items ? "" : valueText(field, field.default)], [texts.range, range(field)], [texts.aliases, field.aliases.join(", ")], [texts.needs, reason(field, field.when)]];
  const choices = field.choices.length ? el("ul", {}, ...field.choices.map((c) => el("li", {}, `${c.label || texts.unset}${String(c.value) === c.label ? "" : ` (${c.value})`}`))) : null;
  part("help").replaceChildren(el("h4", {}, field.label), el("p", {}, field.help), ...(choices ? [choices] : []), el("dl", {}, ...rows.filter(([, value]) => value !== "" && value !== "null").flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])), el("p", {}, el("a", { href: `../reference/${props.value.language}#${field.id}`, target: "_blank", rel: "noopener" }, texts.reference)));
  showPanel("help");
}

function go(path) {
  const base = path.replace(/\[.*$/, "");
  const entry = nodes[base];
  if (!entry) return;
  goSection(entry.field.section);
  entry.node.hidden = false;
  entry.node.scrollIntoView({ block: "center", behavior: "smooth" });
  entry.node.classList.add("flash");
  setTimeout(() => entry.node.classList.remove("flash"), 1600);
  const [, index, name] = path.match(/\[(\d+)\]\.?(.*)$/) || [];
  if (entry.list && index !== undefined) entry.input.focusItem(Number(index), name);
  else (entry.list ? entry.node.querySelector("input, textarea, button") : entry.input)?.focus({ preventScroll: true });
}

function problemRow(problem) {
  const known = byPath[problem.path.replace(/\[.*$/, "")];
  const text = [el("b", {}, texts[problem.level]), ` ${problem.title ? problem.title + ": " : ""}${problem.text}`];
  return el("li", { class: "expert-problem is-" + problem.level }, known ? el("button", { type: "button", "data-problem": problem.path, onclick: () => go(problem.path) }, ...text) : el("span", {}, ...text));
}

function options(name, rows) {
  part(name).replaceChildren(el("option", { value: "" }, texts[name]), ...rows.map((row) => el("option", { value: row.value }, row.label)));
}

function say(text, failed) {
  part("message").textContent = text;
  part("message").classList.toggle("is-error", failed);
}

function apply(snapshot, note = "") {
  if (!snapshot) return;
  view.snapshot = snapshot;
  const errors = {};
  for (const problem of snapshot.problems) if (problem.level === "error") (errors[problem.path.replace(/\[.*$/, "")] ??= []).push(problem.text);
  for (const [path, { field, input, dot, error, node, list }] of Object.entries(nodes)) {
    if (list) input.showItems(snapshot.values[path], snapshot.values);
    else showValue(field, input, snapshot.values[path]);
    dot.hidden = !snapshot.changed.includes(path);
    error.textContent = (errors[path] || []).join("\n");
    error.hidden = !errors[path];
    node.classList.toggle("has-error", Boolean(errors[path]));
    if (!list) input.setAttribute("aria-invalid", Boolean(errors[path]));
  }
  part("plan").innerHTML = snapshot.plan;
  part("problems").replaceChildren(...(snapshot.problems.length ? snapshot.problems.map(problemRow) : [el("li", { class: "quiet" }, texts.no_problems)]));
  const badge = element.querySelector("#panel-tab-problems b");
  badge.textContent = snapshot.problems.length;
  badge.hidden = !snapshot.problems.length;
  badge.classList.toggle("is-error", Object.keys(errors).length > 0);
  part("toml-apply").disabled = !view.tomlEdited;
  if (!view.tomlEdited && part("toml").value !== snapshot.toml) part("toml").value = snapshot.toml;
  part("command").textContent = snapshot.command;
  options("preset", snapshot.presets);
  options("history", snapshot.history);
  say(snapshot.message || note, Boolean(snapshot.failed));
  filter();
  clearTimeout(view.again);
  // Pictures are still being looked through: the plan comes when that is done.
  if (snapshot.waiting) view.again = setTimeout(() => element.isConnected && refresh(), 1500);
}

const send = (field, value) => inTurn("set_value", { path: field.path, value });

// The whole draft from a file, a preset or a past run: TOML that was being edited gives way to it.
function take(method, argument) {
  view.tomlEdited = false;
  return inTurn(method, argument, texts.loaded);
}

function applyToml() {
  const text = part("toml").value;
  if (!view.tomlEdited || text === view.tomlSent) return;
  // It counts as edited until the answer is there: those to earlier changes must not draw over it.
  view.tomlSent = text;
  sending = sending.then(async () => {
    const answer = await ask("set_toml", text);
    view.tomlSent = null;
    view.tomlEdited = part("toml").value !== text || !answer || Boolean(answer.failed);
    apply(answer, texts.saved);
  });
}

async function start(queue) {
  await sending;
  const buttons = [element.querySelector("#expert-start"), element.querySelector("#expert-queue")];
  buttons.forEach((button) => (button.disabled = true));
  try {
    const answer = await startRun({ queue });
    apply(answer, answer?.run ? (queue ? texts.queued : texts.started) : "");
    if (answer?.blocked) showPanel("problems");
    if (answer?.run && !queue) window.athanor.openRun(answer.run);
  } finally {
    setTimeout(() => buttons.forEach((button) => (button.disabled = false)), 1000);
  }
}

function download() {
  const name = (view.snapshot.values["output.name"] || "athanor") + ".toml";
  const link = el("a", { href: URL.createObjectURL(new Blob([view.snapshot.toml], { type: "application/toml" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function copyCommand(event) {
  await navigator.clipboard.writeText(view.snapshot.command);
  event.target.textContent = texts.copied;
  setTimeout(() => (event.target.textContent = texts.copy), 1500);
}

build();
const refresh = () => inTurn("snapshot", null);
window.athanorExpert?.abort();
window.athanorExpert = new AbortController();
document.addEventListener("athanor:shown", (event) => event.detail.page === "train" && event.detail.view === "expert" && refresh(), { signal: window.athanorExpert.signal });
refresh();
