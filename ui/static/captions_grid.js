// The grid: only the tiles in sight exist, however many pictures there are. Selection as in a file manager.
const GAP = 8;
const LABEL = 42;
const tiles = new Map();
const layout = { columns: 1, width: 160, height: 204 };
const address = (row, size) => `../captions/pictures/${state.info.key}/${row.id}?size=${size}&v=${row.stamp}`;
const SIZES = [84, 116, 184, 300];

// The page is as high as the window leaves it, however many rows the bar above it has.
const fitting = new ResizeObserver(() => {
  if (!element.isConnected) return fitting.disconnect();
  if (root.offsetParent) root.style.setProperty("--captions-top", `${Math.round(root.getBoundingClientRect().top + scrollY)}px`);
});
for (const node of [root, document.querySelector("#bar")]) if (node) fitting.observe(node);
let tileSize = Number(kept("size", 116));

function measure() {
  const box = part("grid");
  const width = Math.max(100, box.clientWidth - 2 * GAP);
  layout.columns = Math.max(2, Math.floor((width + GAP) / (tileSize + GAP)));
  layout.width = Math.floor((width - GAP * (layout.columns - 1)) / layout.columns);
  layout.height = layout.width + LABEL;
}
const rowTop = (position) => GAP + Math.floor(position / layout.columns) * (layout.height + GAP);

// The positions in sight, and a screen around them.
function inSight(around = 0) {
  const box = part("grid");
  const step = layout.height + GAP;
  const first = Math.max(0, Math.floor((box.scrollTop - around) / step)) * layout.columns;
  const last = Math.min(state.ids.length, (Math.ceil((box.scrollTop + box.clientHeight + around) / step) + 1) * layout.columns);
  return [first, last];
}

function drawGrid() {
  const box = part("grid");
  if (!state.info) return;
  // Out of sight, as in the large view: the picture that is shown is wanted all the same.
  if (!box.clientHeight) { if (currentId() !== null) want([currentId()]); return; }
  measure();
  const num = state.ids.length;
  part("space").style.height = `${num ? rowTop(num - 1) + layout.height + GAP : 0}px`;
  tellNone(num);
  const [first, last] = inSight(layout.height);
  for (const [position, tile] of tiles) {
    if (position >= first && position < last && tile.id === state.ids[position]) continue;
    tile.node.querySelector("img").removeAttribute("src");
    tile.node.remove();
    tiles.delete(position);
  }
  for (let position = first; position < last; position += 1) drawTile(position);
  const active = tiles.get(state.at);
  if (active) box.setAttribute("aria-activedescendant", active.node.id);
  else box.removeAttribute("aria-activedescendant");
  loadPictures();
  const [from, to] = inSight(box.clientHeight);
  want([...state.ids.subarray(from, to)]);
}

// Why no picture is shown, and the way out.
function tellNone(num) {
  const box = part("none");
  box.hidden = num > 0;
  if (num) return;
  const clear = state.filter.trim() && state.info.num ? button(words("filter.clear"), () => { setFilter(""); part("grid").focus(); }, { "data-tool": "clear-filter" }) : "";
  box.replaceChildren(el("span", {}, words(state.info.num ? "none" : "none.empty")), clear);
}

function drawTile(position) {
  const id = state.ids[position];
  if (!tiles.has(position)) tiles.set(position, makeTile(id, position));
  const { node } = tiles.get(position);
  const row = state.rows.get(id);
  const column = position % layout.columns;
  node.style.cssText = `left:${GAP + column * (layout.width + GAP)}px;top:${rowTop(position)}px;width:${layout.width}px;height:${layout.height}px`;
  node.setAttribute("aria-selected", state.selected.has(id));
  node.classList.toggle("is-current", position === state.at);
  if (!row) return;
  const [name, text] = node.querySelectorAll("small");
  name.textContent = row.name;
  text.textContent = row.text.trim() || words("no_caption");
  node.classList.toggle("is-untagged", !row.text.trim());
  node.classList.toggle("is-conflict", state.conflicts.has(id));
  markTile(node, row);
  node.querySelector("b").textContent = row.tokens > row.limit ? `${row.tokens}` : "";
  node.querySelector("b").ariaLabel = words("tokens.over", { num: row.tokens, limit: row.limit });
}

function makeTile(id, position) {
  const node = el("div", { class: "caption-tile", role: "option", id: `caption-tile-${id}`, "data-id": id, "aria-posinset": position + 1, "aria-setsize": state.ids.length },
    el("img", { alt: "", draggable: "false" }), el("i", { class: "tile-check", "aria-hidden": "true" }, "\u2713"), el("small", { class: "tile-name" }), el("small", { class: "tile-text" }), el("b", { class: "tile-tokens", role: "img" }), el("span", { class: "tile-marks" }));
  // A reader has the name from what is in it: the caption, its tokens, the marks. Only a pointer needs it in a box.
  node.addEventListener("pointerenter", () => { const row = state.rows.get(id); if (row) node.title = `${row.name}\n${row.text}`; });
  const picture = node.querySelector("img");
  picture.addEventListener("error", () => picture.hasAttribute("src") && node.classList.add("is-broken"));
  picture.addEventListener("load", () => node.classList.remove("is-broken"));
  part("space").append(node);
  return { id, node };
}

// Thumbnails are asked for when the scrolling rests, so that flying over thousands asks for none of them.
const loadPictures = later(70, () => {
  if (!state.info) return;
  for (const { id, node } of tiles.values()) {
    const row = state.rows.get(id);
    const picture = node.querySelector("img");
    const wanted = row && address(row, Math.min(384, layout.width * Math.min(2, devicePixelRatio)));
    if (wanted && picture.getAttribute("src") !== wanted) picture.src = wanted;
  }
});

function showPosition(position) {
  const box = part("grid");
  const top = rowTop(position);
  if (top < box.scrollTop) box.scrollTop = top - GAP;
  else if (top + layout.height > box.scrollTop + box.clientHeight) box.scrollTop = top + layout.height + GAP - box.clientHeight;
}

function selectRange(from, to, adding) {
  if (!adding) state.selected.clear();
  for (let position = Math.min(from, to); position <= Math.max(from, to); position += 1) state.selected.add(state.ids[position]);
}

// Goes to a picture. `extend` selects everything from where the selection began; `hold` leaves the selection as it is.
function go(position, { extend = false, hold = false } = {}) {
  if (!state.ids.length) return;
  save();
  state.at = Math.min(Math.max(position, 0), state.ids.length - 1);
  if (extend) selectRange(state.anchor, state.at, false);
  else if (!hold) { state.selected.clear(); state.anchor = state.at; }
  state.line = 0;
  showPosition(state.at);
  drawGrid();
  drawEditor();
  drawHead();
  if (state.tab === "batch") previewBatch();
}

function toggle(position) {
  const id = state.ids[position];
  if (!state.selected.delete(id)) state.selected.add(id);
  state.anchor = position;
  go(position, { hold: true });
}

function selectAll(all = true) {
  state.selected = new Set(all ? state.ids : []);
  go(state.at, { hold: true });
}

function clickTile(event) {
  const tile = event.target.closest(".caption-tile");
  if (!tile) return;
  const position = state.ids.indexOf(Number(tile.dataset.id));
  const adding = event.ctrlKey || event.metaKey;
  if (event.target.closest(".tile-check") || (adding && !event.shiftKey)) {
    // The first Ctrl+click takes the current picture along.
    if (adding && !state.selected.size && position !== state.at) state.selected.add(currentId());
    toggle(position);
    // Where one is left, it is the one that is shown.
    const [last] = state.selected;
    if (state.selected.size === 1 && last !== currentId()) go(state.ids.indexOf(last), { hold: true });
  } else if (event.shiftKey) { if (adding) selectRange(state.anchor, position, true); go(position, { extend: !adding, hold: adding }); }
  else { go(position); if (matchMedia("(max-width: 760px)").matches) showPane("side"); }
  part("grid").focus({ preventScroll: true });
}

// Goes to the next shown picture without a caption, or to the one before; behind the last from the first again.
async function goToUntagged(step) {
  await save();
  const answer = await ask("view", { filter: "untagged", sort: "name" });
  if (!answer?.ids) return;
  const untagged = new Set(toNumbers(answer.ids));
  const num = state.ids.length;
  for (let far = 1; far <= num; far += 1) {
    const position = (state.at + step * far + num) % num;
    if (untagged.has(state.ids[position])) return go(position);
  }
  say(words("untagged.none"));
}

const perScreen = () => Math.max(1, Math.floor(part("grid").clientHeight / (layout.height + GAP))) * layout.columns;
const STEPS = {
  ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -layout.columns, ArrowDown: () => layout.columns,
  PageUp: () => -perScreen(), PageDown: () => perScreen(), Home: () => -1e9, End: () => 1e9,
};
function gridKey(event) {
  const command = event.ctrlKey || event.metaKey;
  const plain = command || event.altKey ? "" : keyOf(event);
  if (STEPS[event.key] && !event.altKey) go(state.at + STEPS[event.key](), { extend: event.shiftKey, hold: command });
  else if (event.key === " ") toggle(state.at);
  else if (command && keyOf(event) === "a") selectAll();
  else if (event.key === "Escape") { if (root.classList.contains("is-large")) showLarge(false); else selectAll(false); }
  else if (event.key === "Enter") focusEditor();
  else if (plain === "v") showLarge(!root.classList.contains("is-large"));
  else if (plain === "t") setMode(state.mode === "tags" ? "text" : "tags");
  else if (plain === "s") pick();
  else if (plain === "n") goToUntagged(event.shiftKey ? -1 : 1);
  else if (plain === "b") { showTab("batch"); showPane("side"); root.querySelector("#captions-operation").focus(); }
  else return;
  event.preventDefault();
}

function gridNode() {
  const box = el("div", { class: "captions-grid", role: "listbox", tabindex: "0", id: "captions-grid", "data-focus-home": true, "aria-multiselectable": "true", "aria-label": words("grid"), "data-part": "grid", onclick: clickTile, onkeydown: gridKey },
    el("div", { class: "grid-space", "data-part": "space" }),
    el("p", { class: "quiet grid-none", "data-part": "none", hidden: true }));
  let isDrawing = false;
  box.addEventListener("scroll", () => {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => { isDrawing = false; drawGrid(); });
  }, { passive: true });
  box.addEventListener("dblclick", (event) => event.target.closest(".caption-tile") && showLarge(true));
  new ResizeObserver(() => { const { at } = state; drawGrid(); if (state.ids.length && tiles.size && !tiles.has(at)) showPosition(at); }).observe(box);
  return box;
}
