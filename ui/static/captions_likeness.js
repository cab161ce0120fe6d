// What is known of pictures beyond their captions: which are alike, scores, embeddings; and the user's lists of tags.
const likeness = { answer: null, folder: "", isLooking: false, wasGoing: {}, chosen: {} };
const quotedName = (name) => `"${name.replace(/[\\*?"\u201c\u201d]/g, "\\$&")}"`;
const showSimilar = (row) => row && setFilter(`similar:${quotedName(row.name)}`);

// Below the filter: what it does not know yet, or how far looking at the pictures is.
const lookingNode = () => el("div", { class: "filter-looking", "data-part": "looking", hidden: true });
const lookButton = (label) => button(label, lookClosely, { class: "small-button is-strong", "data-tool": "look" });

function showUnseen(num) {
  if (likeness.isLooking) return;
  const box = part("looking");
  if (num) window.athanor.announce(words("unseen", { num: many(num) }));
  box.hidden = !num;
  box.replaceChildren(...(num ? [el("span", {}, words("unseen", { num: many(num) })), lookButton(words("look.rest"))] : []));
}

// What solves a problem of the filter, beside it.
function remedyNode(remedy) {
  if (remedy === "looks") return likeness.isLooking ? null : lookButton(words("look"));
  return remedy === "scorer" ? button(words("score.open"), openLikeness, { class: "small-button is-strong", "data-tool": "score-open" }) : null;
}

async function lookClosely() {
  if (likeness.isLooking) return;
  likeness.isLooking = true;
  const { folder } = state;
  let cancel = false;
  const stop = button(words("stop"), () => { cancel = true; setOff(stop, true); }, { "data-tool": "look-stop" });
  const text = el("span", {}, words("looking"));
  const bar = el("progress", { max: 100, "aria-label": words("looking") });
  const box = part("looking");
  box.replaceChildren(bar, text, stop);
  box.hidden = false;
  part("filter-error").hidden = true;
  drawLikeness();
  for (;;) {
    const answer = await ask("look_closely", { cancel });
    if (folder !== state.folder) { likeness.isLooking = false; showUnseen(0); return; }
    if (!answer || answer.error || answer.ended) break;
    text.textContent = likeness.waiting = answer.waiting;
    const told = root.querySelector('[data-known="looks"]');
    if (told) told.textContent = answer.waiting;
    if (answer.percent !== null) bar.value = answer.percent;
    await new Promise((done) => setTimeout(done, 400));
  }
  likeness.isLooking = false;
  showUnseen(0);
  await look({ stay: true });
  loadLikeness();
}

// The part of the left pane that tells and starts all of it.
function openLikeness() {
  showPane("tags");
  const box = part("likeness");
  box.open = true;
  box.scrollIntoView({ block: "nearest" });
  box.querySelector("summary").focus();
}

const known = (num, kind) => el("small", { "data-known": kind }, words("known." + kind, { num: many(num), total: many(likeness.answer.num) }));

function runNode(kind) {
  const run = likeness.answer.runs[kind];
  if (!run) return [];
  const stop = () => ask("look_run", { kind, stop: true }).then(loadLikeness);
  if (run.is_going_on) return [el("progress", { max: 100, value: run.percent, "aria-label": run.text }), el("p", { role: "status" }, run.text), button(words("stop"), stop, { "data-tool": kind + "-stop" })];
  return run.problem ? [el("p", { class: "field-error", role: "alert" }, run.problem), button(words("tagging.show"), () => window.athanor.openRun(run.run))] : [];
}

function modelNode(kind) {
  const models = likeness.answer.models[kind];
  const chosen = models.find((model) => model.name === likeness.chosen[kind]) ?? models[0];
  const choice = models.length < 2 ? null : el("select", { "aria-label": words("likeness.model"), onchange: (event) => { likeness.chosen[kind] = event.target.value; drawLikeness(); } }, ...models.map((model) => el("option", { value: model.name, selected: model === chosen }, model.title)));
  const start = async () => { const answer = await ask("look_run", { kind, model: chosen.name }); if (answer?.run) loadLikeness(); };
  return [choice, button(words("start." + kind), start, { "data-tool": kind }), chosen.note ? el("p", { class: "quiet" }, chosen.note) : null];
}

function kindNode(kind) {
  const { answer } = likeness;
  const isGoing = answer.runs[kind]?.is_going_on;
  const isDone = answer[kind] >= answer.num;
  const show = kind === "scorer" ? button(words("sort.score"), () => setSort("score"), { "data-tool": "best" }) : button(words("sort.unusual"), () => setSort("unusual"), { "data-tool": "unusual" });
  return el("section", { class: "likeness-kind", "data-kind": kind }, el("strong", {}, words("likeness." + kind)), known(answer[kind], kind),
    ...(isGoing || isDone ? [] : modelNode(kind)), ...runNode(kind), answer[kind] ? show : null);
}

function drawLikeness() {
  const { answer } = likeness;
  const box = part("likeness");
  if (!answer || !box.open) return;
  const row = currentRow();
  const looks = el("section", { class: "likeness-kind", "data-kind": "looks" }, el("strong", {}, words("likeness.looks")), known(answer.looks, "looks"),
    answer.looks < answer.num && !likeness.isLooking ? lookButton(words("look")) : null,
    answer.looks ? button(words("show.dup"), () => setFilter("dup"), { "data-tool": "dup" }) : null,
    row && answer.looks ? button(words("similar"), () => showSimilar(currentRow()), { "data-tool": "similar-here" }) : null);
  part("likeness-body").replaceChildren(looks, kindNode("scorer"), kindNode("embedding"));
}

let likenessTimer = 0;
async function loadLikeness() {
  clearTimeout(likenessTimer);
  if (!state.info || !part("likeness").open || document.body.dataset.page !== "captions" || !element.isConnected) return;
  const { folder } = state;
  const answer = await ask("likeness");
  if (!answer?.models || folder !== state.folder) return;
  Object.assign(likeness, { answer, folder });
  drawLikeness();
  const going = Object.fromEntries(["scorer", "embedding"].map((kind) => [kind, Boolean(answer.runs[kind]?.is_going_on)]));
  const ended = Object.keys(going).some((kind) => likeness.wasGoing[kind] && !going[kind]);
  likeness.wasGoing = going;
  if (ended) look({ stay: true });
  if (Object.values(going).some(Boolean)) likenessTimer = setTimeout(loadLikeness, 1500);
}

function setSort(name) {
  const box = root.querySelector("#captions-sort");
  box.value = name;
  box.dispatchEvent(new Event("change"));
}

const likenessNode = () => el("details", { class: "tag-hints", "data-part": "likeness", ontoggle: loadLikeness }, el("summary", {}, words("likeness")), el("div", { class: "likeness-body", "data-part": "likeness-body" }));

// The user's list of tags and their translations: files that are read again when they change.
async function openLists() {
  const answer = await ask("tag_lists");
  if (!answer || answer.error) return;
  const close = () => { dialog.close(); dialog.remove(); loadTags(); drawEditor(true); };
  const told = el("div", { class: "lists-told", role: "status" });
  const show = (found) => told.replaceChildren(...found.problems.map((text) => el("p", { class: "field-error" }, text)),
    el("p", { class: "quiet" }, words("lists.found", { tags: many(found.num_tags), translations: many(found.num_translations) })));
  // One after the other: the last answer knows of both.
  let lastChange = Promise.resolve();
  const change = (name, value) => (lastChange = lastChange.then(async () => { const found = await ask("tag_lists", { [name]: value }); if (found?.problems) show(found); }));
  const field = (name) => {
    const id = "captions-" + name.replaceAll("_", "-");
    const input = el("input", { type: "text", class: "data-search", id, value: answer[name], spellcheck: "false", placeholder: words("lists.usual"), onchange: () => change(name, input.value) });
    return el("div", { class: "list-field" }, el("label", { for: id }, words("lists." + name)), el("p", { class: "quiet" }, words(`lists.${name}.help`)),
      el("div", { class: "with-button" }, input, el("button", { type: "button", class: "small-button", "data-browse": id, "data-kind": "data" }, words("browse"))));
  };
  const dialog = el("dialog", { class: "athanor-dialog ask-dialog lists-dialog", "aria-label": words("lists") },
    el("header", {}, el("strong", {}, words("lists"))), el("div", { class: "ask-body" }, field("tag_list"), field("tag_translations"), told),
    el("div", { class: "dialog-foot" }, el("span", { class: "quiet" }, words("lists.folder", { folder: answer.folder })), button(words("close"), close, { class: "main-button", "data-tool": "lists-close" })));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  document.body.append(dialog);
  show(answer);
  dialog.showModal();
}
