// The caption page put together: head, tags at the left, grid in the middle, caption, batch and history at the right.
const TABS = ["picture", "batch", "history"];

const panelOf = (name) => ({ "data-tab-panel": name, id: "captions-panel-" + name, role: "tabpanel", "aria-labelledby": "captions-tab-" + name });
function showTab(name) {
  state.tab = name;
  keep("tab", name);
  for (const node of root.querySelectorAll("[data-tab]")) node.setAttribute("aria-selected", node.dataset.tab === name);
  for (const node of root.querySelectorAll("[data-tab-panel]")) node.hidden = node.dataset.tabPanel !== name;
  if (name === "batch") previewBatch();
}

// Small windows show one part at a time.
function showPane(name) {
  state.pane = name;
  root.dataset.shown = name;
  for (const node of root.querySelectorAll("[data-go]")) node.setAttribute("aria-pressed", node.dataset.go === name);
  if (name === "grid") drawGrid();
}

function showFilterError(problem) {
  const box = part("filter-error");
  box.hidden = !problem;
  root.querySelector("#captions-filter").setAttribute("aria-invalid", Boolean(problem));
  if (!problem) return;
  const text = state.filter;
  const { position, length } = problem;
  box.replaceChildren(el("code", {}, text.slice(0, position), el("mark", {}, text.slice(position, position + Math.max(1, length)) || "\u2009"), text.slice(position + Math.max(1, length))), el("span", {}, problem.text), ...[remedyNode(problem.remedy)].filter(Boolean));
}

// Tags of the filter that no caption has, marked, and how the captions spell them: a click takes that.
const insteadNode = () => el("div", { class: "filter-instead", role: "status", "data-part": "instead" });
function showInstead(found) {
  const one = ({ position, length, text, other, filter }) => el("div", { class: "filter-error" },
    state.filter.trim().length > length ? el("code", {}, state.filter.slice(0, position), el("mark", {}, state.filter.slice(position, position + length)), state.filter.slice(position + length)) : null,
    el("span", {}, text), button(words("instead.take", { tag: other }), () => setFilter(filter), { "data-tool": "instead" }));
  part("instead").replaceChildren(...found.map(one));
}

function drawHead() {
  const num = state.ids.length;
  const total = state.info?.num ?? 0;
  root.querySelector("#captions-tagging").hidden = !total;
  const texts = [num === total ? words("num", { num: many(total) }) : words("num.shown", { num: many(num), total: many(total) })];
  if (state.selected.size) texts.push(words("num.selected", { num: many(state.selected.size) }));
  tell(part("counts-told"), texts.join(" \u00b7 "));
  part("counts-at").textContent = num ? " \u00b7 " + words("num.at", { num: many(state.at + 1) }) : "";
  const pick = part("pick");
  pick.hidden = !state.picked && state.selected.size < 2;
  pick.textContent = words(state.picked ? "picked.all" : "picked.only");
  pick.setAttribute("aria-pressed", Boolean(state.picked));
  part("again").hidden = state.version === state.viewVersion || (!state.filter.trim() && state.sort === "name");
}

// Shows the selected pictures only, or again all that the filter takes.
async function pick() {
  if (!state.picked && state.selected.size < 2) return;
  const chosen = state.picked ? null : new Set(state.selected);
  const answer = chosen ? await ask("names", { ids: toText(chosen) }) : { names: [] };
  if (!answer?.names) return;
  Object.assign(state, { picked: chosen, pickedNames: answer.names });
  keepPicked();
  look().then(() => { if (state.tab === "batch") previewBatch(); });
}

// They are kept by name, for each folder, until the tab is closed.
const pickedPlace = (folder) => "athanor.captions.picked." + folder;
function keepPicked() {
  sessionStorage.removeItem(pickedPlace(state.folder));
  try {
    if (state.picked) sessionStorage.setItem(pickedPlace(state.folder), JSON.stringify(state.pickedNames));
  } catch (error) {
    if (error.name !== "QuotaExceededError") throw error; // so many names last until the page is loaded again
  }
}

// Who is at the first picture sees the first ones of what comes, too; a filter that is taken away leaves one at what it found.
const lookAnew = () => look({ stay: state.at > 0 });
const lookSoon = later(200, () => (state.filter ? lookAnew() : look()));
function filterNode() {
  const input = el("input", { type: "search", id: "captions-filter", class: "data-search", "data-search": true, placeholder: words("filter.hint"), "aria-label": words("filter"), "aria-describedby": "captions-filter-error", spellcheck: "false", autocomplete: "off",
    oninput: () => { state.filter = input.value; keep("filter", input.value); lookSoon(); if (state.tab === "batch") previewBatch(); },
    onkeydown: (event) => { if (event.isComposing) return; if (event.key === "Enter" || event.key === "Escape") { if (event.key === "Enter") look(); event.preventDefault(); part("grid").focus(); } } });
  const help = el("div", { class: "filter-help", id: "captions-filter-help", hidden: true }, el("p", {}, words("filter.help")), el("ul", {}, ...props.value.examples.map(([text, meaning]) => el("li", {}, el("button", { type: "button", class: "link-button", onclick: () => setFilter(text) }, el("code", {}, text)), el("span", {}, meaning)))));
  const toggle = el("button", { type: "button", class: "field-help-button", title: words("filter.help.open"), "aria-label": words("filter.help.open"), "aria-expanded": "false", "aria-controls": "captions-filter-help", onclick: () => { help.hidden = !help.hidden; toggle.setAttribute("aria-expanded", !help.hidden); } }, "?");
  const sort = el("select", { "aria-label": words("sort"), id: "captions-sort", onchange: (event) => { state.sort = event.target.value; keep("sort", state.sort); lookAnew(); } }, ...props.value.sorts.map((name) => el("option", { value: name, selected: name === state.sort }, words("sort." + name))));
  const size = el("select", { "aria-label": words("tile_size"), onchange: (event) => { tileSize = Number(event.target.value); keep("size", tileSize); drawGrid(); showPosition(state.at); } }, ...SIZES.map((each, at) => el("option", { value: each, selected: each === tileSize }, words("size." + "smlx"[at]))));
  return el("div", { class: "captions-filter" },
    el("div", { class: "filter-row" }, input, button("", pick, { "data-part": "pick", title: words("picked.help"), hidden: true }), toggle),
    el("div", { class: "filter-error", id: "captions-filter-error", role: "alert", "data-part": "filter-error", hidden: true }), insteadNode(), lookingNode(), help,
    el("div", { class: "filter-counts" }, el("span", { "data-part": "counts" }, el("span", { "data-part": "counts-told", role: "status" }), el("span", { "data-part": "counts-at" })), button(words("filter.again"), () => look(), { "data-part": "again", hidden: true }), el("span", { class: "spacer" }), sort, size));
}

function headNode() {
  const path = el("input", { type: "text", id: "captions-folder", class: "data-search", list: "captions-folders", spellcheck: "false", placeholder: words("folder.hint"), "aria-label": words("folder"),
    onchange: () => path.value.trim() && path.value.trim() !== state.folder && openFolder(path.value.trim()), onkeydown: (event) => event.key === "Enter" && path.value.trim() === state.folder && openFolder(state.folder, true) });
  return el("header", { class: "captions-head" },
    el("div", { class: "captions-folder", id: "captions-folder-box" }, path, el("datalist", { id: "captions-folders", "data-part": "folders" }), el("button", { type: "button", class: "small-button", "data-browse": "captions-folder", "data-kind": "folder" }, words("browse"))),
    el("span", { class: "captions-saved", "data-part": "saved" }),
    el("div", { class: "captions-tools head-tools", "data-part": "head-tools", hidden: true },
      iconButton("\u21b6", words("undo"), () => travel("undo"), { id: "captions-undo", "aria-disabled": "true" }), iconButton("\u21b7", words("redo"), () => travel("redo"), { id: "captions-redo", "aria-disabled": "true" }),
      iconButton("\u21bb", words("reopen"), () => openFolder(state.folder, true), { id: "captions-reopen" }),
      button(words("tagging"), () => openTagging(), { class: "main-button", id: "captions-tagging" })));
}

function build() {
  root.replaceChildren(
    headNode(),
    el("div", { class: "captions-tagging", "data-part": "tagging", hidden: true }),
    el("div", { class: "captions-failed", "data-part": "failed", hidden: true }),
    el("div", { class: "captions-note", "data-part": "note", hidden: true }),
    el("div", { class: "captions-empty", "data-part": "empty", hidden: true }),
    el("div", { class: "captions-panes", "data-part": "panes", role: "group", "aria-label": words("panes") }, ...["grid", "side", "tags"].map((name) => el("button", { type: "button", class: "small-button", "data-go": name, onclick: () => showPane(name) }, words("pane." + name)))),
    el("div", { class: "captions-body", "data-part": "body", hidden: true },
      tagsNode(),
      el("section", { class: "captions-middle", "data-pane": "grid" }, filterNode(), gridNode()),
      el("section", { class: "captions-right", "data-pane": "side" },
        el("div", { class: "panel-tabs", role: "tablist", "aria-label": words("pane.side") }, ...TABS.map((name) => el("button", { type: "button", role: "tab", id: "captions-tab-" + name, "data-tab": name, "aria-controls": "captions-panel-" + name, onclick: () => showTab(name) }, words("tab." + name)))),
        el("section", { class: "caption-editor", "data-part": "editor", ...panelOf("picture") }), batchNode(), historyNode())));
  drawFields();
  showTab(state.tab);
  showPane("grid");
}

// Pictures with their tags beside them.
const EMPTY_PICTURE = '<svg class="empty-svg" viewBox="0 0 132 96" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="30" y="6" width="52" height="52" rx="6" opacity=".35"/><rect x="18" y="18" width="58" height="58" rx="6" fill="var(--background-fill-primary)"/><circle cx="35" cy="36" r="5"/><path d="M22 70l18-20 12 12 8-8 13 14"/><g stroke="var(--color-accent)"><rect x="88" y="24" width="34" height="13" rx="6.500"/><rect x="88" y="44" width="24" height="13" rx="6.500"/><rect x="88" y="64" width="38" height="13" rx="6.500"/></g></svg>';
function emptyNode(folders) {
  const entry = ({ path, title, note }) => el("li", {}, el("button", { type: "button", class: "folder-card", onclick: () => openFolder(path) }, el("strong", {}, title), el("small", {}, path), note ? el("small", {}, note) : null));
  const picture = el("span", {});
  picture.innerHTML = EMPTY_PICTURE;
  return [picture, el("h2", {}, words("empty")), el("p", {}, words("empty.help")), el("ul", { class: "folder-cards" }, ...folders.map(entry)), el("button", { type: "button", class: "main-button", "data-browse": "captions-folder", "data-kind": "folder" }, words("empty.choose"))];
}

function showEmpty(folders, text = "") {
  part("body").hidden = part("head-tools").hidden = part("panes").hidden = true;
  part("empty").hidden = false;
  part("empty").replaceChildren(...(text ? [el("p", { role: "status" }, text)] : emptyNode(folders)));
}

function showBody() {
  part("body").hidden = part("head-tools").hidden = part("panes").hidden = false;
  part("empty").hidden = true;
}

let opening = 0;
// The picture that an answer has named, until it is gone to: who takes up the folder meanwhile goes there, too.
let headedFor = "";
let lastOpening = null;
const openFolder = (...where) => (lastOpening = takeUp(...where));

// Waits until no folder is being opened any more: rows have their numbers then.
async function settled() {
  for (let seen; seen !== lastOpening; ) await (seen = lastOpening);
}

async function takeUp(path, again = false, why = "", at = "") {
  if (!path) return;
  if (path !== state.folder || again) await save();
  const mine = ++opening;
  const isSame = path === state.folder && Boolean(state.info);
  if (!isSame || again) { say(""); tellFailed(""); }
  headedFor = isSame ? at || headedFor : "";
  const places = isSame ? { name: headedFor || currentRow()?.name, why, at: state.at, names: namesOf(state.selected), scroll: part("grid").scrollTop } : {};
  // Most folders are open before anybody would read this.
  const telling = setTimeout(() => mine === opening && !isSame && showEmpty([], words("opening")), 250);
  for (let first = true; ; first = false) {
    const answer = await Promise.resolve(server.open({ folder: path, again: again && first })).catch(() => null);
    clearTimeout(telling);
    if (mine !== opening) return;
    if (answer?.waiting) { showEmpty([], answer.waiting); await new Promise((done) => setTimeout(done, 400)); continue; }
    if (!answer || answer.error) { say(answer?.error ?? words("unreachable"), "error"); if (state.info) showBody(); else start({ stay: true }); return; }
    await opened(answer, { path, ...places });
    if (mine === opening) headedFor = "";
    return;
  }
}

// The names of pictures; nothing where not all of them are known here.
function namesOf(ids) {
  const rows = [...ids].map((id) => state.rows.get(id));
  return rows.every(Boolean) ? rows.map((row) => row.name) : [];
}

async function opened(answer, { path, name = "", why = "", at = 0, names = [], scroll = 0 }) {
  const same = state.folder === answer.folder;
  const { info } = state;
  const takeAlong = same && name ? await carried(answer, name) : null;
  if (info !== state.info) return;
  Object.assign(state, { folder: answer.folder, info: answer, version: answer.version, at: 0, anchor: 0, line: 0 });
  const picked = same ? state.pickedNames : JSON.parse(sessionStorage.getItem(pickedPlace(answer.folder)) ?? "[]");
  Object.assign(state, { picked: null, pickedNames: picked });
  state.rows.clear();
  state.selected.clear();
  state.conflicts.clear();
  tagList.chosen.clear();
  for (const { node } of tiles.values()) node.remove();
  tiles.clear();
  if (!same) { state.filter = kept("folder", "") === answer.folder ? kept("filter", "") : ""; }
  keep("folder", answer.folder);
  const box = root.querySelector("#captions-folder");
  // Another folder may be typed already.
  const isTyped = document.activeElement === box && box.value.trim() !== path;
  if (!isTyped) box.value = answer.folder;
  root.querySelector("#captions-filter").value = state.filter;
  showBody();
  const left = stored(answer.folder, same);
  unsaved.clear();
  savedIn.clear();
  takeAlong?.();
  if (why || answer.notes.length) say([why, ...answer.notes].filter(Boolean).join("\n"), "warning");
  const busy = typing({ target: document.activeElement ?? document.body });
  // Where the same folder is read again, focus stays where it is.
  if (busy ? busy === box && !isTyped : !same || !root.contains(document.activeElement)) part("grid").focus({ preventScroll: true });
  took(answer);
  // Another folder may be open by the time that one of these is answered.
  const isOpen = () => answer === state.info;
  const found = picked.length ? await ask("find", { names: picked }) : null;
  if (isOpen()) state.picked = found?.ids && Object.keys(found.ids).length ? new Set(Object.values(found.ids)) : null;
  if (isOpen()) await look({ stay: Boolean(takeAlong) });
  if (isOpen()) await goToNames(name, names, { at, scroll });
  if (isOpen()) await takeUpUnsaved(left);
}

// Returns what takes the picture that is shown, and what is typed for it, over to its new number: who types goes on
// typing for the same picture.
async function carried({ folder, generation }, name) {
  const found = await Promise.resolve(server.find({ folder, generation, names: [name] })).catch(() => null);
  const id = found?.ids?.[name];
  const row = currentRow();
  if (id === undefined || row?.name !== name) return null;
  const edit = unsaved.get(row.id);
  return () => {
    state.ids = Int32Array.of(id);
    state.rows.set(id, { ...row, id });
    state.stale.add(id);
    if (edit) unsaved.set(id, { ...edit, row: id });
    if (part("editor").dataset.row === String(row.id)) part("editor").dataset.row = String(id);
  };
}

// Back to where one was, by name: rows have other numbers. A picture that is gone leaves its place to the next.
async function goToNames(name, names, { at, scroll }) {
  const { info } = state;
  const found = name ? await ask("find", { names: [name, ...names] }) : null;
  if (!found?.ids || info !== state.info) return;
  const place = state.ids.indexOf(found.ids[name] ?? -1);
  const shown = new Set(state.ids);
  part("grid").scrollTop = scroll;
  go(place >= 0 ? place : at);
  state.selected = new Set(names.map((each) => found.ids[each]).filter((id) => shown.has(id)));
  if (state.selected.size) refresh();
}

// What an earlier page could not save is saved now, unless the file has changed since.
async function takeUpUnsaved(left) {
  const items = left.flatMap((each) => each.items);
  if (!items.length) return;
  const { info } = state;
  const ids = (await ask("find", { names: items.map(({ name }) => name) }))?.ids;
  if (!ids || info !== state.info) return;
  for (const item of items) if (ids[item.name] !== undefined && !unsaved.has(ids[item.name])) unsaved.set(ids[item.name], { ...item, row: ids[item.name] });
  const gone = items.filter(({ name }) => ids[name] === undefined);
  if (gone.length) say(gone.map(({ name, text }) => `${words("picture_gone", { name })}\n${text}`).join("\n"), "warning");
  storeUnsaved();
  for (const { place } of left) if (!place.startsWith(UNSAVED + tabName)) localStorage.removeItem(place);
  await save();
}

// What changes outside is looked for at these first.
const seenIds = () => [...state.ids.subarray(...inSight()), currentId()].filter((id) => id !== null);

// Once in a while: has something changed outside, or in another tab?
let isPolling = false;
let noted = "";
async function poll() {
  if (isPolling || isSaving || !state.info || document.body.dataset.page !== "captions" || document.hidden || !element.isConnected) return;
  isPolling = true;
  const { folder, info } = state;
  const before = numTaken;
  const answer = await Promise.resolve(server.poll({ folder, generation: info.generation, tab: tabName, seen: seenIds(), is_tagged: Boolean(tagging.live) || Date.now() - tagging.endedAt < 10000 })).catch(() => null);
  isPolling = false;
  // What was changed meanwhile has been answered since: this answer may be older.
  if (folder !== state.folder || info !== state.info || isSaving || before !== numTaken) return;
  if (!answer) return showSaved("failed", words("unreachable.short"));
  if (answer.error) { if (noted !== answer.error) say(answer.error, "error", button(words("reopen"), () => openFolder(state.folder, true))); noted = answer.error; return; }
  if (answer.renumbered) return openFolder(state.folder, false, words("renumbered"));
  if (unsaved.size && !isSaving) save();
  if (answer.version !== state.version) took({ ...answer, touched: null });
  else tellSaving(answer);
  const text = answer.notes.join("\n");
  if (text && text !== noted) say(text, "warning");
  noted = text;
}

async function start({ stay = false } = {}) {
  const answer = await ask("places");
  if (!answer) return;
  part("folders").replaceChildren(...answer.folders.map(({ path }) => el("option", { value: path })));
  const last = kept("folder", "");
  if (!state.info && last && !stay) openFolder(last).then(() => !state.info && showEmpty(answer.folders));
  else if (!state.info) showEmpty(answer.folders);
  else { drawGrid(); poll(); refreshTags(); }
}

const pasteInto = (text) => addTags(linesAsTags(text));

// What is being typed into a tag belongs to the caption, too.
function leave() {
  const { activeElement } = document;
  if (activeElement?.matches(".chip-input")) activeElement.blur();
  save();
}

const typing = (event) => event.target.closest("input, textarea, select, [contenteditable]");
const LARGE_KEYS = { ArrowLeft: () => go(state.at - 1), ArrowRight: () => go(state.at + 1), Escape: () => showLarge(false), v: () => showLarge(false) };
function pageKey(event) {
  if (event.defaultPrevented || event.isComposing || document.body.dataset.page !== "captions" || !state.info || document.querySelector("dialog[open]")) return;
  const command = (event.ctrlKey || event.metaKey) && !event.altKey;
  const busy = typing(event);
  const empty = !busy || busy.matches("select, [type=checkbox]") || (busy.matches("input") && !busy.value);
  const key = keyOf(event);
  if (command && empty && !event.shiftKey && key === "z") travel("undo");
  else if (command && empty && (key === "y" || (event.shiftKey && key === "z"))) travel("redo");
  else if (command && key === "s") save();
  else if (root.classList.contains("is-large") && !busy && !command && !event.altKey && !event.target.closest(".chip") && LARGE_KEYS[key]) LARGE_KEYS[key]();
  else if (event.altKey && (event.key === "PageDown" || event.key === "PageUp") && !event.ctrlKey) {
    const field = busy?.id;
    go(state.at + (event.key === "PageDown" ? 1 : -1));
    drawEditor(true);
    if (field) root.querySelector("#" + field)?.focus();
  } else if (busy || !pictureKey(event)) return;
  event.preventDefault();
}

build();
window.athanorCaptions?.abort();
window.athanorCaptions = new AbortController();
const { signal: whileShown } = window.athanorCaptions;
document.addEventListener("athanor:shown", (event) => event.detail.page === "captions" && start(), { signal: whileShown });
document.addEventListener("athanor:captions", (event) => openFolder(event.detail.folder), { signal: whileShown });
document.addEventListener("keydown", pageKey, { signal: whileShown });
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : poll()), { signal: whileShown });
for (const name of ["beforeunload", "pagehide"]) addEventListener(name, leave, { signal: whileShown });
root.addEventListener("copy", (event) => {
  const row = currentRow();
  if (typing(event) || !row || String(getSelection())) return;
  event.clipboardData.setData("text/plain", row.text);
  event.preventDefault();
});
root.addEventListener("paste", (event) => {
  if (typing(event)) return;
  event.preventDefault();
  pasteInto(event.clipboardData.getData("text/plain"));
});
const polling = setInterval(() => (element.isConnected ? poll() : clearInterval(polling)), 3000);
const taggingWatch = setInterval(() => (element.isConnected ? watchTagging() : clearInterval(taggingWatch)), 1000);
if (document.body.dataset.page === "captions") start();
