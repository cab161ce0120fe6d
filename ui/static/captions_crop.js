// Turning and cutting a picture: a box with handles over the whole picture, by mouse, finger or keys. Sizes are pixels
// of the turned picture; nothing is written before it is applied, and the picture's file stays as it is.
const CROP_ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

async function openCrop() {
  const row = await shownRow();
  if (!row || hasDialog()) return;
  await save();
  const facts = await ask("picture_facts", { row: row.id });
  if (!facts || facts.error || hasDialog()) return;
  showCrop(newCut(row, facts));
}

// All that the editor knows; `box` has fractions of pixels while it is dragged.
function newCut(row, facts) {
  const cut = { row, facts, subject: { row, info: state.info }, rotate: facts.rotate, shape: null, preset: "free", picture: null, scale: 1, drag: null, ticket: 0, asked: "", isApplying: false };
  const [left, top, width, height] = facts.crop ?? [];
  cut.box = facts.crop ? { left, top, width, height } : largestBox(extentOf(cut), null);
  cut.askFate = later(180, (now) => showFate(cut, now));
  cut.nodes = { ...stageNodes(), ...shapeNodes(cut), numbers: numberNodes(cut) };
  cut.nodes.copying = button(words("crop.copy"), () => applyCut(cut, { copy: true }), { title: words("crop.copy.help"), id: "captions-crop-copy" });
  return cut;
}

// The size of the picture as it is turned.
function extentOf({ rotate, facts: { size: [wide, high] } }) {
  return rotate % 180 ? { across: high, down: wide } : { across: wide, down: high };
}

const wholeCut = (cut) => wholeBox(cut.box, extentOf(cut));

function isWhole(cut) {
  const [now, { across, down }] = [wholeCut(cut), extentOf(cut)];
  return now.width === across && now.height === down;
}

// What is seen: the picture, the box on it, and its size in words.
function fitCut(cut) {
  const { stage, view, canvas } = cut.nodes;
  const { across, down } = extentOf(cut);
  cut.scale = Math.min((stage.clientWidth - 28) / across, (stage.clientHeight - 28) / down);
  if (!(cut.scale > 0)) return;
  const [width, height] = [across, down].map((side) => Math.max(1, Math.round(side * cut.scale)));
  view.style.cssText = `width:${width}px;height:${height}px`;
  const dense = Math.min(2, devicePixelRatio);
  [canvas.width, canvas.height] = [width * dense, height * dense];
  if (cut.picture) drawPicture(cut);
  drawCut(cut);
}

function drawPicture({ picture, rotate, nodes: { canvas } }) {
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.rotate((rotate * Math.PI) / 180);
  const [wide, high] = rotate % 180 ? [canvas.height, canvas.width] : [canvas.width, canvas.height];
  pen.drawImage(picture, -wide / 2, -high / 2, wide, high);
}

function drawCut(cut) {
  const { box, scale, rotate, nodes } = cut;
  const now = wholeCut(cut);
  nodes.frame.style.cssText = `left:${box.left * scale}px;top:${box.top * scale}px;width:${box.width * scale}px;height:${box.height * scale}px`;
  for (const [name, input] of Object.entries(nodes.numbers)) if (document.activeElement !== input) input.value = now[name];
  const size = words(isWhole(cut) ? "crop.whole" : "crop.size", { width: many(now.width), height: many(now.height) });
  nodes.told.textContent = rotate ? `${size} \u00b7 ${words("crop.turned", { angle: rotate })}` : size;
  nodes.copying.disabled = isWhole(cut) && !rotate;
  tellFate(cut, now);
}

// At which size the trainer would show it: the server knows the rules of the draft.
function tellFate(cut, now) {
  const size = `${now.width}x${now.height}`;
  if (cut.asked === size) return;
  cut.asked = size;
  cut.askFate(now);
}

async function showFate(cut, now) {
  const mine = ++cut.ticket;
  const { fate } = cut.nodes;
  const answer = await Promise.resolve(server.crop_fate({ folder: state.folder, name: cut.row.name, size: [now.width, now.height] })).catch(() => null);
  if (mine !== cut.ticket || !answer?.text) return;
  fate.textContent = answer.text;
  fate.classList.toggle("is-warning", answer.is_small);
}

// Shapes: those that have a name, one that is typed, and those of the buckets.
function chooseShape(cut, preset, shape) {
  Object.assign(cut, { preset, shape });
  if (shape) cut.box = largestBox(extentOf(cut), shape, isWhole(cut) ? null : cut.box);
  markShapes(cut);
  drawCut(cut);
  cut.nodes.frame.focus();
}

function namedShape(cut, name) {
  const { across, down } = extentOf(cut);
  if (name === "free") return null;
  return name === "own" ? across / down : shapeOf(name);
}

const nearestSize = ({ rotate, facts }) => (rotate % 180 ? facts.nearest_turned : facts.nearest);
const bucketShape = (cut, [width, height]) => chooseShape(cut, `bucket ${width}x${height}`, width / height);

function markShapes(cut) {
  const { shapes, nearest, buckets } = cut.nodes;
  const size = nearestSize(cut);
  for (const node of shapes.children) node.setAttribute("aria-pressed", String(node.dataset.shape === cut.preset));
  nearest.setAttribute("aria-pressed", String(cut.preset === "bucket " + size.join("x")));
  nearest.textContent = words("crop.nearest", { size: size.join(" \u00d7 ") });
  if (!cut.preset.startsWith("bucket")) buckets.value = "";
}

function swapShape(cut) {
  if (cut.shape) chooseShape(cut, presetOf(1 / cut.shape), 1 / cut.shape);
}

function takeAll(cut) {
  cut.box = largestBox(extentOf(cut), cut.shape);
  drawCut(cut);
  cut.nodes.frame.focus();
}

function turnCut(cut, degrees) {
  for (let quarter = 0; quarter < (((degrees / 90) % 4) + 4) % 4; quarter += 1) {
    cut.box = turnedBox(cut.box, extentOf(cut));
    cut.rotate = (cut.rotate + 90) % 360;
    if (cut.shape) cut.shape = 1 / cut.shape;
    if (cut.preset.startsWith("bucket ")) cut.preset = "bucket " + cut.preset.slice(7).split("x").reverse().join("x");
    else if (cut.shape && cut.preset !== "own") cut.preset = presetOf(cut.shape);
  }
  markShapes(cut);
  fitCut(cut);
}

function typeNumber(cut, name, value) {
  if (!Number.isFinite(value)) return drawCut(cut);
  const { across, down } = extentOf(cut);
  const now = wholeCut(cut);
  if (name === "left" || name === "top" || !cut.shape) now[name] = value;
  else Object.assign(now, name === "width" ? { width: value, height: value / cut.shape } : { height: value, width: value * cut.shape });
  const shrink = Math.min(1, across / now.width, down / now.height);
  if (cut.shape) { now.width *= shrink; now.height *= shrink; }
  cut.box = wholeBox(now, extentOf(cut));
  return drawCut(cut);
}

// Dragging: the box, a handle, or anew from where there is no box.
function takeDrags(cut) {
  const { stage } = cut.nodes;
  stage.addEventListener("pointerdown", (event) => startDrag(cut, event));
  stage.addEventListener("pointermove", (event) => moveDrag(cut, event));
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => endDrag(cut));
}

function pointOf({ nodes: { view }, scale }, event) {
  const edge = view.getBoundingClientRect();
  return [(event.clientX - edge.left) / scale, (event.clientY - edge.top) / scale];
}

function startDrag(cut, event) {
  if (event.button) return;
  const { frame, stage } = cut.nodes;
  event.preventDefault();
  frame.focus({ preventScroll: true });
  const from = pointOf(cut, event);
  const { across, down } = extentOf(cut);
  const handle = event.target.dataset.handle ?? (event.target === frame ? "move" : "new");
  const start = handle === "new" ? { left: limited(from[0], 0, across - 1), top: limited(from[1], 0, down - 1), width: 0, height: 0 } : cut.box;
  cut.drag = { handle, from, start, pointer: event.pointerId };
  stage.setPointerCapture(event.pointerId);
}

function moveDrag(cut, event) {
  const { drag } = cut;
  if (drag?.pointer !== event.pointerId) return;
  const now = pointOf(cut, event);
  const [dx, dy] = [now[0] - drag.from[0], now[1] - drag.from[1]];
  const handle = drag.handle === "new" ? (dy < 0 ? "n" : "s") + (dx < 0 ? "w" : "e") : drag.handle;
  const isMeant = drag.handle !== "new" || Math.hypot(dx, dy) * cut.scale > 6;
  if (isMeant) cut.box = draggedBox(drag.start, handle, [dx, dy], extentOf(cut), cut.shape);
  drawCut(cut);
}

function endDrag(cut) {
  cut.drag = null;
  if (!cut.shape) cut.box = wholeCut(cut);
  drawCut(cut);
}

function cropKey(cut, event) {
  const isCommand = event.ctrlKey || event.metaKey;
  const key = keyOf(event);
  if (event.key === "Enter" && isCommand) applyCut(cut, { next: true });
  else if (event.target.closest("input, select")) { if (!enterNumber(cut, event)) return; }
  else if (CROP_ARROWS[event.key]) arrowCut(cut, event);
  else if (key === "[" || key === "]") turnCut(cut, key === "[" ? -90 : 90);
  else if (event.key === "Enter" && !event.target.closest("button, summary")) applyCut(cut);
  else if (key === "x") swapShape(cut);
  else if (key === "b") bucketShape(cut, nearestSize(cut));
  else if (key === "a" && !isCommand) takeAll(cut);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// The enter key in a field takes its value over; all others are the field's own.
function enterNumber(cut, event) {
  if (event.key !== "Enter") return false;
  event.target.closest("input, select").dispatchEvent(new Event("change"));
  cut.nodes.frame.focus();
  return true;
}

// Arrows move the box, with the shift key they make it larger or smaller.
function arrowCut(cut, event) {
  const step = event.ctrlKey || event.metaKey ? 1 : Math.max(1, Math.round(Math.min(...cut.facts.size) / 100));
  const [dx, dy] = CROP_ARROWS[event.key].map((sign) => sign * step);
  const extent = extentOf(cut);
  // A box that cannot get narrower from the right does from the left.
  const side = dx < 0 && cut.box.width <= SMALLEST ? "w" : "e";
  cut.box = event.shiftKey
    ? wholeBox(draggedBox(cut.box, dx ? side : "s", [dx, dy], extent, cut.shape), extent)
    : draggedBox(wholeCut(cut), "move", [dx, dy], extent, cut.shape);
  drawCut(cut);
}

function failCut({ nodes: { failed } }, text) {
  failed.hidden = !text;
  failed.textContent = text ?? "";
}

async function applyCut(cut, { copy = false, next = false } = {}) {
  if (cut.isApplying) return;
  cut.isApplying = true;
  const [{ left, top, width, height }, { across, down }] = [wholeCut(cut), extentOf(cut)];
  const answer = await askOf(cut.subject, "edit_picture", { rotate: cut.rotate, crop: isWhole(cut) ? null : [left, top, width, height], size: [across, down], copy });
  cut.isApplying = false;
  failCut(cut, answer?.error);
  if (!answer || answer.error) return;
  closeCut(cut);
  await pictured(answer, { quietly: !copy });
  if (next && state.at < state.ids.length - 1) { go(state.at + 1); openCrop(); }
}

function closeCut({ watcher, dialog }) {
  watcher.disconnect();
  dialog.close();
  dialog.remove();
  if (document.activeElement === document.body) part("grid").focus({ preventScroll: true });
}

// What the dialog is made of.
function stageNodes() {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const frame = el("div", { class: "crop-box", id: "captions-crop-box", tabindex: "0", role: "application", "aria-label": words("crop.box"), "aria-describedby": "captions-crop-keys captions-crop-size" },
    ...HANDLES.map((name) => el("i", { class: "crop-handle at-" + name, "data-handle": name })));
  const view = el("div", { class: "crop-view" }, canvas, frame);
  return {
    canvas, frame, view, stage: el("div", { class: "tool-stage crop-stage" }, view),
    told: el("p", { class: "crop-size", id: "captions-crop-size", role: "status" }),
    fate: el("p", { class: "quiet crop-fate", role: "status" }),
    failed: el("p", { class: "field-error", role: "alert", hidden: true }),
  };
}

function numberNodes(cut) {
  const names = ["left", "top", "width", "height"];
  const least = { left: 0, top: 0, width: 1, height: 1 };
  const input = (name) => el("input", { type: "number", id: "captions-crop-" + name, min: least[name], step: 1, onchange: (event) => typeNumber(cut, name, Number(event.target.value)) });
  return Object.fromEntries(names.map((name) => [name, input(name)]));
}

function shapeNodes(cut) {
  const typed = () => {
    const value = shapeOf(own.value);
    own.setAttribute("aria-invalid", String(!value));
    if (value) chooseShape(cut, "typed", value);
  };
  const own = el("input", { type: "text", id: "captions-crop-own", class: "data-search", placeholder: "21:9", spellcheck: "false", autocomplete: "off", "aria-label": words("crop.typed"), onchange: typed });
  const title = (name) => (name === "free" || name === "own" ? words("crop." + name) : name);
  const sizes = cut.facts.buckets;
  const buckets = el("select", { id: "captions-crop-bucket", "aria-label": words("crop.bucket"), hidden: sizes.length < 2, onchange: () => buckets.value && bucketShape(cut, buckets.value.split("x").map(Number)) },
    el("option", { value: "" }, words("crop.bucket.all")), ...sizes.map(([width, height]) => el("option", { value: `${width}x${height}` }, `${width} \u00d7 ${height}`)));
  return {
    shapes: el("div", { class: "crop-shapes", role: "group", "aria-label": words("crop.shape") },
      ...SHAPES.map((name) => button(title(name), () => chooseShape(cut, name, namedShape(cut, name)), { "data-shape": name }))),
    own, buckets,
    nearest: button("", () => bucketShape(cut, nearestSize(cut)), { id: "captions-crop-nearest", "data-tool": "nearest" }),
  };
}

function cropSide(cut) {
  const { told, fate, failed, shapes, own, nearest, buckets, numbers } = cut.nodes;
  return el("div", { class: "tool-side" }, told, fate,
    el("h5", {}, words("crop.shape")), shapes,
    el("div", { class: "crop-row" }, el("label", { class: "crop-own" }, words("crop.typed"), own), button(words("crop.swap"), () => swapShape(cut), { "data-tool": "swap", title: "X" }), button(words("crop.all"), () => takeAll(cut), { "data-tool": "all", title: "A" })),
    el("h5", {}, words("crop.bucket")), el("div", { class: "crop-row" }, nearest, buckets),
    el("details", {}, el("summary", {}, words("crop.numbers")), el("div", { class: "crop-numbers" }, ...Object.entries(numbers).map(([name, input]) => el("label", {}, words("crop." + name), input)))),
    el("p", { class: "quiet", id: "captions-crop-keys" }, words("crop.keys")), failed);
}

function cropDialog(cut) {
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog crop-dialog", "aria-label": words("crop"), onkeydown: (event) => cropKey(cut, event) },
    el("header", {}, el("strong", {}, words("crop")), el("span", { class: "tool-name" }, cut.row.name), el("span", { class: "spacer" }),
      toolButton("left", words("turn.left"), () => turnCut(cut, -90), { "data-tool": "crop-left" }), toolButton("right", words("turn.right"), () => turnCut(cut, 90), { "data-tool": "crop-right" })),
    el("div", { class: "tool-body" }, cut.nodes.stage, cropSide(cut)),
    el("div", { class: "dialog-foot" }, el("span", { class: "quiet" }, words("crop.help")), button(words("cancel"), () => closeCut(cut), { "data-tool": "cancel" }), cut.nodes.copying, button(words("crop.apply"), () => applyCut(cut), { class: "main-button", id: "captions-crop-apply" })));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeCut(cut); });
  return dialog;
}

function showCrop(cut) {
  cut.dialog = cropDialog(cut);
  cut.watcher = new ResizeObserver(() => fitCut(cut));
  takeDrags(cut);
  root.append(cut.dialog);
  cut.dialog.showModal();
  cut.watcher.observe(cut.nodes.stage);
  markShapes(cut);
  fitCut(cut);
  cut.nodes.frame.focus();
  const image = new Image();
  image.onload = () => { cut.picture = image; fitCut(cut); };
  image.onerror = () => failCut(cut, words("picture_unreadable"));
  image.src = originalAddress(cut.row, cut.facts);
}
