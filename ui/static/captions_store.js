// The caption page, first part: what it knows. The open folder, the pictures that match, their rows as the server told
// them, and what is not saved yet. Body of js_on_load of ui/pages/captions.py; needs el() of fields.js and filled() of texts.js.
// props.value: words, operations, language; texts and schema are for fields.js. server: the page's methods. An answer with `error` is said in its words.
const words = (name, gaps = {}) => filled(props.value.words[name] ?? name, gaps);
const many = (number) => Number(number).toLocaleString(props.value.language);
const keep = (name, value) => localStorage.setItem("athanor.captions." + name, value);
const kept = (name, otherwise) => localStorage.getItem("athanor.captions." + name) ?? otherwise;
const root = element.querySelector(".captions-root");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
// A button that is off keeps the focus: who presses it again and again is not thrown out.
const isOff = (node) => node.getAttribute("aria-disabled") === "true";
const setOff = (node, off) => node.setAttribute("aria-disabled", String(Boolean(off)));
const button = (label, onclick, attributes = {}) => el("button", { type: "button", class: "small-button", onclick: (event) => (isOff(event.currentTarget) ? null : onclick(event)), ...attributes }, label);
const iconButton = (icon, label, onclick, attributes = {}) => button(icon, onclick, { title: label, "aria-label": label, ...attributes });
// The same text is not told twice to who listens.
const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const later = (milliseconds, call) => { let timer = 0; return (...values) => { clearTimeout(timer); timer = setTimeout(call, milliseconds, ...values); }; };

const state = {
  folder: "", info: null, version: 0, viewVersion: 0,
  filter: "", sort: kept("sort", "name"),
  ids: new Int32Array(0), rows: new Map(), stale: new Set(),
  at: 0, anchor: 0, selected: new Set(), picked: null, pickedNames: [],
  tab: kept("tab", "picture"), pane: "grid", mode: kept("mode", "tags"), line: 0,
  conflicts: new Map(), highlight: kept("highlight", ""),
};
const currentId = () => (state.ids.length ? state.ids[state.at] : null);
const currentRow = () => state.rows.get(currentId()) ?? null;
// What is shown: what the filter takes, among the pictures that were picked out, if any are.
const filtered = () => ({ filter: state.filter, ...(state.picked ? { only: toText(state.picked) } : {}) });
// Who is meant by an edit: the selected pictures, or the current one.
const meant = () => (state.selected.size ? [...state.selected] : currentId() === null ? [] : [currentId()]);

const toText = (numbers) => { const bytes = new Uint8Array(Int32Array.from(numbers).buffer); let text = ""; for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192)); return btoa(text); };
const toNumbers = (text) => new Int32Array(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);

// What the user must read stays until it is solved or something else is said.
const say = (text, kind = "", ...tools) => showNote(part("note"), text, kind, ...tools);
function showNote(box, text, kind, ...tools) {
  if (text && kind !== "error") window.athanor.announce(text);
  box.hidden = !text;
  box.className = box.classList[0] + (kind ? " is-" + kind : "");
  if (kind === "error") box.setAttribute("role", "alert");
  else box.removeAttribute("role");
  box.replaceChildren(el("span", {}, text), ...tools, ...(text ? [iconButton("\u00d7", words("close"), () => showNote(box, ""))] : []));
}

// An answer of another time than the rows of the page opens the folder again: what is not saved is taken along by name.
async function ask(method, argument = {}) {
  const generation = state.info?.generation;
  const answer = await Promise.resolve(server[method]({ folder: state.folder, generation, ...argument })).catch(() => null);
  if (!answer) { showSaved("failed"); say(words("unreachable"), "error"); }
  else if (answer.renumbered) { if (generation === state.info?.generation) openFolder(state.folder); return null; }
  else if (answer.error) say(answer.error, "error");
  return answer;
}

// Saving. Edits wait in a line, and in the browser's storage until the server has them: a reload loses nothing.
// Each tab keeps those of each folder for itself: no other tab or folder clears them away.
// Its name is put down only while the page is gone: who duplicates a tab copies what is stored, and is another tab.
const tabName = sessionStorage.getItem("athanor.tab") ?? Math.random().toString(36).slice(2);
window.addEventListener("pagehide", () => sessionStorage.setItem("athanor.tab", tabName));
const takeTabName = () => sessionStorage.removeItem("athanor.tab");
window.addEventListener("pageshow", takeTabName);
takeTabName();
const UNSAVED = "athanor.captions.unsaved.";
const unsaved = new Map();
let isSaving = null;
// Why the last attempt failed, as it is told to the user.
let notSaved = "";
const storeUnsaved = () => {
  const items = [...unsaved].filter(([, edit]) => edit.name).map(([, edit]) => edit);
  const place = `${UNSAVED}${tabName}.${state.folder}`;
  if (items.length) localStorage.setItem(place, JSON.stringify({ folder: state.folder, items }));
  else localStorage.removeItem(place);
};

// What could not be saved of a folder: by this page, or (unless only its `own` is meant) by tabs that were closed since.
function stored(folder, own) {
  const places = Object.keys(localStorage).filter((name) => name.startsWith(own ? UNSAVED + tabName : UNSAVED));
  return places.map((place) => ({ place, ...JSON.parse(localStorage.getItem(place)) })).filter((each) => each.folder === folder);
}

// Said once, when nothing more is coming.
const announceSaved = later(1200, () => part("saved").matches(".is-saved") && window.athanor.announce(part("saved").textContent));
function showSaved(kind, text) {
  const node = part("saved");
  if (kind === "saved" && node.matches(".is-waiting, .is-failed, .is-conflict")) announceSaved();
  node.className = "captions-saved is-" + kind;
  tell(node, text ?? words("saved." + kind));
}

// `known`: the caption as the user saw it; where the file has another by now, the server tells of a conflict.
function editRow(id, text, known = state.rows.get(id)?.text) {
  const row = state.rows.get(id);
  if (!row || (row.text === text && known === text)) return;
  unsaved.set(id, { row: id, name: row.name, text, before: unsaved.get(id)?.before ?? known });
  row.text = text;
  storeUnsaved();
  showSaved("waiting");
}
const saveSoon = later(700, () => save());

// Sends what is not saved; resolves when everything is, or when it failed.
function save() {
  isSaving ??= sendUnsaved().finally(() => (isSaving = null));
  return isSaving;
}

async function sendUnsaved() {
  while (unsaved.size) {
    const edits = [...unsaved.values()];
    const { info } = state;
    showSaved("waiting");
    const answer = await ask("edit", { edits });
    if (info !== state.info) continue; // rows have other numbers now: what was not saved was taken along by name
    if (!answer || answer.error) { notSaved = answer?.error ?? words("unreachable"); return showSaved("failed"); }
    for (const edit of edits) settle(edit, answer);
    storeUnsaved();
    took(answer);
  }
}

function settle(edit, answer) {
  const now = unsaved.get(edit.row);
  const theirs = answer.conflicts.find((conflict) => conflict.id === edit.row);
  if (theirs && now) theirs.mine = now.text;
  if (theirs || now?.text === edit.text) unsaved.delete(edit.row);
  else if (now) now.before = edit.text;
  const row = state.rows.get(edit.row);
  if (theirs && row) row.text = theirs.text;
}

// Says how far saving is: what this page has not sent, what the server has not written, what could not be written.
function tellSaving(answer) {
  if (unsaved.size) return;
  tellFailed(answer.num_failed > 1 ? `${answer.failed[0]}\n${words("failed.more", { num: many(answer.num_failed - 1) })}` : answer.failed[0] ?? "");
  if (answer.num_failed) return showSaved("failed");
  // What has been solved is no longer told.
  if (notSaved && part("note").querySelector("span")?.textContent === notSaved) say("");
  notSaved = "";
  if (answer.pending) showSaved("waiting", words("saved.pending", { num: many(answer.pending) }));
  else if (state.conflicts.size) showSaved("conflict", words("saved.conflicts", { num: many(state.conflicts.size) }));
  else showSaved("saved");
}

// Stands beside what else is said, until it is solved; who closes it reads it again when it is another.
let failed = "";
function tellFailed(text) {
  if (text === failed) return;
  failed = text;
  if (!text) return showNote(part("failed"), "");
  const retry = async () => { const done = await ask("retry"); if (done && !done.error) { tellFailed(""); took(done); } };
  showNote(part("failed"), text, "error", button(words("retry"), retry, { "data-tool": "retry" }));
}

// How many answers were taken over: one to an earlier question must not come after them.
let numTaken = 0;

// Takes over what every change answers with: rows that differ now, the version, what can be undone.
// Where rows were numbered anew by it, the folder is taken up again, at the picture that the answer names.
function took(answer) {
  if (answer.generation !== undefined && state.info && answer.generation !== state.info.generation) return openFolder(state.folder, false, "", answer.at);
  for (const row of answer.rows ?? []) {
    if (!unsaved.has(row.id)) state.rows.set(row.id, row);
    savedIn.set(row.id, numFetches);
  }
  numTaken += 1;
  for (const id of answer.touched === null ? state.rows.keys() : answer.touched ?? []) {
    state.stale.add(id);
    savedIn.set(id, numFetches);
  }
  if (answer.version !== undefined) state.version = answer.version;
  if (answer.conflicts) {
    const mine = new Map([...state.conflicts].map(([id, conflict]) => [id, conflict.mine]));
    const hadConflict = state.conflicts.has(currentId());
    state.conflicts = new Map(answer.conflicts.map((conflict) => [conflict.id, { ...conflict, mine: mine.get(conflict.id) ?? conflict.mine }]));
    if (!hadConflict && state.conflicts.has(currentId())) { drawEditor(true); part("editor").querySelector(".caption-conflict")?.focus(); }
  }
  if (answer.history) showHistory(answer.history);
  if (answer.pending !== undefined) tellSaving(answer);
  refresh();
  return null;
}

const refreshTags = later(250, () => loadTags());
function refresh() {
  drawGrid();
  drawEditor();
  drawHead();
  refreshTags();
}

// Rows are asked for when they come into sight, in one request at a time.
let isFetching = false;
let wantedRows = [];
// When rows were saved last, counted in requests: what was asked for before that is older than what is known.
const savedIn = new Map();
let numFetches = 0;
async function want(ids) {
  wantedRows = ids.filter((id) => !state.rows.has(id) || state.stale.has(id));
  if (isFetching || !wantedRows.length) return;
  isFetching = true;
  const asked = wantedRows.slice(0, 400);
  wantedRows = [];
  const { info } = state;
  const mine = ++numFetches;
  const answer = await ask("rows", { ids: asked });
  isFetching = false;
  if (answer?.rows && info === state.info) takeRows(answer.rows, mine);
  if (wantedRows.length) want(wantedRows);
}

function takeRows(rows, fetch) {
  if (state.rows.size > 20000) for (const id of state.rows.keys()) if (id !== currentId()) state.rows.delete(id);
  for (const row of rows) {
    if (savedIn.get(row.id) >= fetch) continue;
    const edited = unsaved.get(row.id);
    state.rows.set(row.id, edited ? { ...row, text: edited.text } : row);
    state.stale.delete(row.id);
  }
  drawGrid();
  drawEditor();
}

// Which pictures are shown, and in which order.
let numLooks = 0;
async function look({ stay = true } = {}) {
  const mine = ++numLooks;
  const { info } = state;
  const answer = await ask("view", { ...filtered(), sort: state.sort });
  // What was asked for since may be answered first.
  if (mine !== numLooks || info !== state.info || !answer || answer.error) return;
  // Who went on meanwhile stays where that is.
  const id = currentId();
  showFilterError(answer.problem);
  showInstead(answer.instead ?? []);
  if (answer.problem) return;
  showUnseen(answer.unseen);
  state.ids = toNumbers(answer.ids);
  state.viewVersion = answer.version;
  state.version = answer.version;
  const place = stay && id !== null ? state.ids.indexOf(id) : 0;
  const isElsewhere = place !== state.at;
  state.at = state.anchor = Math.max(0, place);
  const shown = new Set(state.ids);
  for (const each of state.selected) if (!shown.has(each)) state.selected.delete(each);
  if (place < 0 || !stay) part("grid").scrollTop = 0;
  refresh();
  if (place > 0 && isElsewhere) showPosition(place);
}
