// Taggers on the open folder: the dialog with the form of their schema, a preview before anything is written, and how
// far the run is. Follows captions_grid.js.
const tagging = { values: JSON.parse(kept("tagging", "{}")), state: null, live: "", endedAt: 0 };
const DEFAULT_MODEL = props.value.tagging.models[0].name;

// Which pictures can be meant: the selected ones, what the filter shows, all.
function tagScopes() {
  const scopes = [["all", state.info.num]];
  if (state.ids.length < state.info.num) scopes.unshift(["shown", state.ids.length]);
  if (state.selected.size) scopes.unshift(["selected", state.selected.size]);
  return scopes;
}

function scopeNode() {
  const options = tagScopes().map(([name, num], at) => el("label", { class: "tagging-scope" }, el("input", { type: "radio", name: "tagging-scope", value: name, checked: at === 0 }), el("span", {}, words("scope." + name)), el("small", {}, many(num))));
  return el("fieldset", { class: "tagging-scopes" }, el("legend", {}, words("tagging.scope")), ...options);
}

function previewRow({ id, stamp, name, before, after }) {
  const lines = before && before !== after ? [el("del", {}, before), el("ins", {}, after)] : [el("ins", {}, after)];
  return el("li", {}, el("img", { alt: "", src: address({ id, stamp }, 192) }), el("div", {}, el("small", {}, name), ...lines));
}

function progressNode({ title, text, percent }) {
  return [el("span", {}, text), el("span", { class: "run-progress", role: "progressbar", "aria-label": title, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent }, Object.assign(el("i"), { style: `width: ${percent ?? 0}%` }))];
}

// Ten captions as they would be written: a run that writes nothing, thrown away when it has been read.
function previewer(box) {
  let run = "";
  const throwAway = () => { if (run) server.tag_stop({ run, preview: true }); run = ""; };
  const show = (...nodes) => { box.hidden = !nodes.length; box.replaceChildren(...nodes); };
  const watchRun = async (mine) => {
    for (;;) {
      const answer = await ask("tag_preview", { run: mine });
      if (run !== mine) return;
      if (!answer || answer.error) return show(el("p", { class: "field-error", role: "alert" }, answer?.error ?? words("unreachable")));
      if (!answer.state.is_going_on) return found(answer);
      show(el("div", { class: "tagging-progress" }, ...progressNode(answer.state)));
      await new Promise((done) => setTimeout(done, 500));
    }
  };
  const found = ({ state: ended, rows }) => {
    if (ended.problem) show(el("p", { class: "field-error", role: "alert" }, `${ended.text} ${ended.problem}`));
    else show(el("p", { class: "quiet", role: "status" }, rows.length ? words("tagging.previewed", { num: many(rows.length) }) : words("tagging.previewed.none")), el("ul", { class: "tagging-preview", tabindex: "0" }, ...rows.map(previewRow)), ...ended.warnings.map((text) => el("p", { class: "field-error" }, text)));
    box.scrollIntoView({ block: "nearest" });
    throwAway();
  };
  const begin = async (request) => {
    throwAway();
    show(el("p", { role: "status" }, words("tagging.beginning")));
    const answer = await ask("tag", { ...request, preview: true });
    if (!answer?.run) { show(); return answer; }
    run = answer.run;
    await watchRun(run);
    return answer;
  };
  return { begin, close: () => { const left = run; run = ""; if (left) server.tag_stop({ run: left }).then(() => setTimeout(() => server.tag_stop({ run: left, preview: true }), 3000)); } };
}

function openTagging() {
  const { fields, table, models } = props.value.tagging;
  const seen = (values) => Object.fromEntries(fields.map((field) => [`${table}.${field.name}`, values[field.name] ?? field.default]));
  // Blanks count in a separator; behind a list they do not.
  const plain = (field, text) => (isList(field) ? text.trim() : text);
  const isOwn = (field, value) => (field.kind === "bool" ? value !== field.default : plain(field, String(value ?? "")) !== plain(field, valueText(field, field.default)));
  const own = (values) => Object.fromEntries(fields.filter((field) => field.name in values && isOwn(field, values[field.name])).map((field) => [field.name, values[field.name]]));
  const changed = () => { tagging.values = own(form.read()); form.show(tagging.values, seen(tagging.values)); tellDownload(); };
  const form = rowForm(fields, "captions-tagging-form", changed);
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const download = el("p", { class: "quiet tagging-download", role: "status", hidden: true });
  const box = el("section", { class: "tagging-previews", "aria-label": words("tagging.preview"), hidden: true });
  const preview = previewer(box);
  const scopes = scopeNode();
  const close = () => { preview.close(); dialog.close(); dialog.remove(); };
  let told = null;
  const tellDownload = async () => {
    const model = tagging.values.model || DEFAULT_MODEL;
    if (model === told) return null;
    told = model;
    const facts = await ask("tag_facts", { model });
    download.textContent = facts?.download ?? "";
    download.hidden = !download.textContent;
    download.classList.toggle("is-warning", Boolean(facts?.is_offline));
    return facts;
  };
  // One request at a time, with what is typed; what is refused is said in the dialog.
  const press = (call) => async ({ currentTarget: pressed }) => {
    setOff(pressed, true);
    changed();
    keep("tagging", JSON.stringify(tagging.values));
    await save();
    const scope = scopes.querySelector(":checked").value;
    const ids = toText(scope === "selected" ? state.selected : []);
    const answer = await call({ values: tagging.values, scope, ids, ...filtered() });
    setOff(pressed, false);
    failed.hidden = !answer?.error;
    failed.textContent = answer?.error ?? "";
    if (answer?.error) {
      say("");
      failed.scrollIntoView({ block: "nearest" });
    }
    told = null;
    tellDownload();
    return answer;
  };
  const start = press(async (request) => {
    const answer = await ask("tag", request);
    if (answer?.run) { close(); beginWatching(answer.run); }
    return answer;
  });
  const dialog = el("dialog", { class: "athanor-dialog tagging-dialog", "aria-label": words("tagging") },
    el("header", {}, el("strong", {}, words("tagging.title")), iconButton("\u00d7", words("close"), close)),
    el("div", { class: "tagging-body" }, el("p", { class: "quiet" }, words("tagging.help")), scopes, download, form.node,
      el("datalist", { id: "captions-taggers" }, ...models.map((model) => el("option", { value: model.name }, `${model.title} \u00b7 ${model.size}`))), box, failed),
    el("div", { class: "dialog-foot" }, button(words("tagging.preview"), press(preview.begin), { id: "captions-tagging-preview" }), el("span", {}), button(words("cancel"), close), button(words("tagging.start"), start, { class: "main-button", id: "captions-tagging-start" })));
  dialog.addEventListener("cancel", close);
  form.show(tagging.values, seen(tagging.values));
  form.node.querySelector("#captions-tagging-form-model-input").setAttribute("list", "captions-taggers");
  document.body.append(dialog);
  dialog.showModal();
  scopes.querySelector(":checked").focus();
  tellDownload().then((facts) => {
    if (!facts?.trigger_word || tagging.values.trigger_word) return;
    tagging.values = { ...tagging.values, trigger_word: facts.trigger_word };
    form.show(tagging.values, seen(tagging.values));
  });
}

// How far the run on this folder is, and what came of it: until it is closed, also after a reload.
function beginWatching(run) {
  tagging.live = run;
  keep("tagging.run", run);
  watchTagging(true);
}

let isAsking = false;
let askedAt = 0;
async function watchTagging(now = false) {
  const isHidden = document.hidden || document.body.dataset.page !== "captions" || !state.info;
  if (isHidden || isAsking || (!now && Date.now() - askedAt < (tagging.live ? 900 : 3900))) return;
  isAsking = true;
  const { folder, info } = state;
  const answer = await Promise.resolve(server.tagging_state({ folder, generation: info.generation, was_going_on: tagging.live })).catch(() => null);
  isAsking = false;
  askedAt = Date.now();
  if (!answer || answer.error || answer.renumbered || info !== state.info) return;
  const found = answer.state;
  const hasEnded = tagging.live && found?.run === tagging.live && !found.is_going_on;
  tagging.live = found?.is_going_on ? found.run : "";
  if (tagging.live) keep("tagging.run", found.run);
  showTagging(found && (found.is_going_on || found.run === kept("tagging.run", "")) ? found : null);
  if (hasEnded) { tagging.endedAt = Date.now(); await poll(); }
}

function showTagging(found) {
  const box = part("tagging");
  const text = JSON.stringify(found);
  if (tagging.shown === text) return;
  tagging.shown = text;
  box.hidden = !found;
  if (!found) return box.replaceChildren();
  const failed = ["failed", "crashed"].includes(found.status);
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.tool : "";
  box.className = `captions-tagging is-${found.status}`;
  const stop = button(words("tagging.stop"), () => ask("tag_stop", { run: found.run }).then(() => watchTagging(true)), { "data-tool": "stop-tagging" });
  const showRun = button(words("tagging.show"), () => window.athanor.openRun(found.run), { "data-tool": "show-run" });
  if (found.is_going_on) box.replaceChildren(el("strong", {}, found.title), ...progressNode(found), ...(found.status === "stopping" ? [] : [stop]), showRun);
  else {
    const close = iconButton("\u00d7", words("close"), () => { keep("tagging.run", ""); showTagging(null); }, { "data-tool": "close-tagging" });
    const undo = button(words("tagging.undo"), async () => { await travel("undo"); watchTagging(true); }, { "data-tool": "undo-tagging" });
    const list = found.warnings.length ? el("details", {}, el("summary", {}, words("tagging.warnings", { num: many(found.num_warnings) })), el("ul", {}, ...found.warnings.map((each) => el("li", {}, each)))) : null;
    box.replaceChildren(el("p", { role: failed ? "alert" : "status" }, el("strong", {}, found.text), found.problem ? " " + found.problem : "", list ?? ""), ...(found.can_undo ? [undo] : []), showRun, close);
  }
  if (focused) box.querySelector(`[data-tool="${focused}"]`)?.focus();
}
