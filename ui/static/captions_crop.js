// Turning and cutting a picture: a box with handles over the whole picture, by mouse, finger or keys. Sizes are pixels
// of the turned picture; nothing is written before it is applied, and the picture's file stays as it is.
const SHAPES = ["free", "own", "1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9"];
const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const SMALLEST = 16;
const limited = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

// "3:2", "640x960" or "1.5" as width over height; null where it is none.
function shapeOf(text) {
  const found = text.trim().match(/^(\d+(?:[.,]\d+)?)(?:\s*[:/x\u00d7\uff1a]\s*(\d+(?:[.,]\d+)?))?$/i);
  if (!found) return null;
  const [wide, high] = [found[1], found[2] ?? "1"].map((number) => Number(number.replace(",", ".")));
  return wide > 0 && high > 0 && wide / high < 100 && high / wide < 100 ? wide / high : null;
}

// The largest box of a shape in a picture, around the middle of another box.
function largestBox({ across, down }, shape, around) {
  const width = shape ? Math.min(across, down * shape) : across;
  const height = shape ? width / shape : down;
  const middle = around ? [around.left + around.width / 2, around.top + around.height / 2] : [across / 2, down / 2];
  return { left: limited(middle[0] - width / 2, 0, across - width), top: limited(middle[1] - height / 2, 0, down - height), width, height };
}

// A box once a handle was dragged: the sides that are not held stay, or the middle where a shape needs both.
function draggedBox(box, handle, [dx, dy], { across, down }, shape) {
  if (handle === "move") return { ...box, left: limited(box.left + dx, 0, across - box.width), top: limited(box.top + dy, 0, down - box.height) };
  const sideways = handle.includes("w") ? -1 : handle.includes("e") ? 1 : 0;
  const upright = handle.includes("n") ? -1 : handle.includes("s") ? 1 : 0;
  const [right, bottom] = [box.left + box.width, box.top + box.height];
  const room = (sign, low, high, size, whole) => (sign < 0 ? high : sign > 0 ? whole - low : 2 * Math.min(low + size / 2, whole - low - size / 2));
  const most = { width: room(sideways, box.left, right, box.width, across), height: room(upright, box.top, bottom, box.height, down) };
  let width = limited(box.width + sideways * dx, Math.min(SMALLEST, across), sideways ? most.width : box.width);
  let height = limited(box.height + upright * dy, Math.min(SMALLEST, down), upright ? most.height : box.height);
  if (shape) {
    if (!upright || (sideways && width / height > shape)) height = width / shape;
    else width = height * shape;
    const scale = Math.min(1, most.width / width, most.height / height);
    [width, height] = [width * scale, height * scale];
  }
  const left = sideways < 0 ? right - width : sideways > 0 || !shape ? box.left : box.left + (box.width - width) / 2;
  const top = upright < 0 ? bottom - height : upright > 0 || !shape ? box.top : box.top + (box.height - height) / 2;
  return { left: limited(left, 0, across - width), top: limited(top, 0, down - height), width, height };
}

// Whole pixels inside the picture. With a shape the sides are rounded on their own: half a pixel is not seen.
function wholeBox(box, { across, down }) {
  const width = limited(Math.round(box.width), 1, across);
  const height = limited(Math.round(box.height), 1, down);
  return { left: limited(Math.round(box.left), 0, across - width), top: limited(Math.round(box.top), 0, down - height), width, height };
}

// The box of a picture that is turned clockwise by a quarter.
const turnedBox = ({ left, top, width, height }, { down }) => ({ left: down - top - height, top: left, width: height, height: width });

// Asks how a picture is to be turned and cut. Resolves when the dialog is closed.
async function openCrop() {
  const row = await shownRow();
  if (!row || hasDialog()) return;
  await save();
  const facts = await ask("picture_facts", { row: row.id });
  if (!facts || facts.error || hasDialog()) return;
  cropDialog(row, facts).open();
}

function cropDialog(row, facts) {
  const [wide, high] = facts.size;
  const subject = { row, info: state.info };
  let rotate = facts.rotate;
  let picture = null;
  let shape = null;
  let preset = "free";
  const turned = () => (rotate % 180 ? { across: high, down: wide } : { across: wide, down: high });
  let box = facts.crop ? { left: facts.crop[0], top: facts.crop[1], width: facts.crop[2], height: facts.crop[3] } : largestBox(turned(), null);
  const isWhole = () => { const now = wholeBox(box, turned()); return now.width === turned().across && now.height === turned().down; };

  const canvas = el("canvas", { "aria-hidden": "true" });
  const frame = el("div", { class: "crop-box", id: "captions-crop-box", tabindex: "0", role: "application", "aria-label": words("crop.box"), "aria-describedby": "captions-crop-keys captions-crop-size" },
    ...HANDLES.map((name) => el("i", { class: "crop-handle at-" + name, "data-handle": name })));
  const view = el("div", { class: "crop-view" }, canvas, frame);
  const stage = el("div", { class: "tool-stage crop-stage" }, view);
  const told = el("p", { class: "crop-size", id: "captions-crop-size", role: "status" });
  const fate = el("p", { class: "quiet crop-fate", role: "status" });
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });

  let scale = 1;
  const fit = () => {
    const { across, down } = turned();
    scale = Math.min((stage.clientWidth - 28) / across, (stage.clientHeight - 28) / down);
    if (!(scale > 0)) return;
    const [width, height] = [Math.max(1, Math.round(across * scale)), Math.max(1, Math.round(down * scale))];
    view.style.cssText = `width:${width}px;height:${height}px`;
    const dense = Math.min(2, devicePixelRatio);
    [canvas.width, canvas.height] = [width * dense, height * dense];
    if (picture) {
      const pen = canvas.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.translate(canvas.width / 2, canvas.height / 2);
      pen.rotate((rotate * Math.PI) / 180);
      const [w, h] = rotate % 180 ? [canvas.height, canvas.width] : [canvas.width, canvas.height];
      pen.drawImage(picture, -w / 2, -h / 2, w, h);
    }
    draw();
  };
  const numbers = Object.fromEntries(["left", "top", "width", "height"].map((name) => [name, el("input", { type: "number", id: "captions-crop-" + name, min: name === "left" || name === "top" ? 0 : 1, step: 1, onchange: (event) => typed(name, Number(event.target.value)) })]));
  const draw = () => {
    const now = wholeBox(box, turned());
    frame.style.cssText = `left:${box.left * scale}px;top:${box.top * scale}px;width:${box.width * scale}px;height:${box.height * scale}px`;
    for (const [name, input] of Object.entries(numbers)) if (document.activeElement !== input) input.value = now[name];
    told.textContent = [words(isWhole() ? "crop.whole" : "crop.size", { width: many(now.width), height: many(now.height) }), ...(rotate ? [words("crop.turned", { angle: rotate })] : [])].join(" \u00b7 ");
    copying.disabled = isWhole() && !rotate;
    tellFate(now);
  };
  const typed = (name, value) => {
    if (!Number.isFinite(value)) return draw();
    const { across, down } = turned();
    const now = wholeBox(box, turned());
    if (name === "left" || name === "top") now[name] = value;
    else if (shape) Object.assign(now, name === "width" ? { width: value, height: value / shape } : { height: value, width: value * shape });
    else now[name] = value;
    const shrink = Math.min(1, across / now.width, down / now.height);
    if (shape) { now.width *= shrink; now.height *= shrink; }
    box = wholeBox(now, turned());
    draw();
  };

  // At which size the trainer would show it: the server knows the rules of the draft.
  let ticket = 0;
  const askFate = later(180, async (now) => {
    const mine = ++ticket;
    const answer = await Promise.resolve(server.crop_fate({ folder: state.folder, name: row.name, size: [now.width, now.height] })).catch(() => null);
    if (mine !== ticket || !answer?.text) return;
    fate.textContent = answer.text;
    fate.classList.toggle("is-warning", answer.is_small);
  });
  let asked = "";
  const tellFate = (now) => {
    if (asked === `${now.width}x${now.height}`) return;
    asked = `${now.width}x${now.height}`;
    askFate(now);
  };

  const choose = (name, value) => {
    preset = name;
    shape = value;
    if (shape) box = largestBox(turned(), shape, isWhole() ? null : box);
    mark();
    draw();
    frame.focus();
  };
  const named = (name) => (name === "free" ? null : name === "own" ? turned().across / turned().down : shapeOf(name));
  const mark = () => {
    for (const node of shapes.children) node.setAttribute("aria-pressed", String(node.dataset.shape === preset));
    nearest.setAttribute("aria-pressed", String(preset === "bucket " + nearestSize().join("x")));
    if (!preset.startsWith("bucket")) buckets.value = "";
    nearest.textContent = words("crop.nearest", { size: nearestSize().join(" \u00d7 ") });
  };
  const shapes = el("div", { class: "crop-shapes", role: "group", "aria-label": words("crop.shape") },
    ...SHAPES.map((name) => button(name === "free" || name === "own" ? words("crop." + name) : name, () => choose(name, named(name)), { "data-shape": name })));
  const own = el("input", { type: "text", id: "captions-crop-own", class: "data-search", placeholder: "21:9", spellcheck: "false", autocomplete: "off", "aria-label": words("crop.typed"),
    onchange: () => { const value = shapeOf(own.value); own.setAttribute("aria-invalid", String(!value)); if (value) choose("typed", value); } });
  const nearestSize = () => (rotate % 180 ? facts.nearest_turned : facts.nearest);
  const bucketShape = ([width, height]) => choose(`bucket ${width}x${height}`, width / height);
  const nearest = button("", () => bucketShape(nearestSize()), { id: "captions-crop-nearest", "data-tool": "nearest" });
  const buckets = el("select", { id: "captions-crop-bucket", "aria-label": words("crop.bucket"), hidden: facts.buckets.length < 2, onchange: () => buckets.value && bucketShape(buckets.value.split("x").map(Number)) },
    el("option", { value: "" }, words("crop.bucket.all")), ...facts.buckets.map(([width, height]) => el("option", { value: `${width}x${height}` }, `${width} \u00d7 ${height}`)));

  const turn = (degrees) => {
    for (let quarter = 0; quarter < (((degrees / 90) % 4) + 4) % 4; quarter += 1) {
      box = turnedBox(box, turned());
      rotate = (rotate + 90) % 360;
      if (shape) shape = 1 / shape;
      if (preset.startsWith("bucket ")) preset = "bucket " + preset.slice(7).split("x").reverse().join("x");
      else if (shape && preset !== "own") preset = swappedPreset();
    }
    mark();
    fit();
  };
  const swappedPreset = () => SHAPES.find((name) => shapeOf(name) && Math.abs(shapeOf(name) - shape) < 1e-6) ?? "typed";
  const swap = () => { if (shape) { const value = 1 / shape; shape = value; choose(swappedPreset(), value); } };
  const all = () => { box = largestBox(turned(), shape); draw(); frame.focus(); };

  // Dragging: the box, a handle, or anew from where there is no box.
  let drag = null;
  const at = (event) => { const edge = view.getBoundingClientRect(); return [(event.clientX - edge.left) / scale, (event.clientY - edge.top) / scale]; };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    const from = at(event);
    const { across, down } = turned();
    const handle = event.target.dataset.handle ?? (event.target === frame ? "move" : "new");
    const start = handle === "new" ? { left: limited(from[0], 0, across - 1), top: limited(from[1], 0, down - 1), width: 1, height: 1 } : box;
    drag = { handle, from, start, pointer: event.pointerId };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const now = at(event);
    const moved = [now[0] - drag.from[0], now[1] - drag.from[1]];
    if (drag.handle !== "new") box = draggedBox(drag.start, drag.handle, moved, turned(), shape);
    else if (Math.hypot(...moved) * scale > 6) box = draggedBox({ ...drag.start, width: 0, height: 0 }, (moved[1] < 0 ? "n" : "s") + (moved[0] < 0 ? "w" : "e"), moved, turned(), shape);
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { drag = null; box = shape ? box : wholeBox(box, turned()); draw(); });

  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const keyed = (event) => {
    const input = event.target.closest("input, select");
    const key = keyOf(event);
    const step = event.ctrlKey || event.metaKey ? 1 : Math.max(1, Math.round(Math.min(wide, high) / 100));
    const [dx, dy] = (arrow[event.key] ?? [0, 0]).map((sign) => sign * step);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) apply({ next: true });
    else if (input) { if (event.key === "Enter") { input.dispatchEvent(new Event("change")); frame.focus(); } else return; }
    else if (arrow[event.key] && event.shiftKey) { box = wholeBox(draggedBox(box, dx ? (dx < 0 && box.width <= SMALLEST ? "w" : "e") : "s", [dx, dy], turned(), shape), turned()); draw(); }
    else if (arrow[event.key]) { box = draggedBox(wholeBox(box, turned()), "move", [dx, dy], turned(), shape); draw(); }
    else if (key === "[" || key === "]") turn(key === "[" ? -90 : 90);
    else if (event.key === "Enter" && !event.target.closest("button")) apply();
    else if (key === "x") swap();
    else if (key === "b") bucketShape(nearestSize());
    else if (key === "a" && !event.ctrlKey && !event.metaKey) all();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  let isApplying = false;
  const apply = async ({ copy = false, next = false } = {}) => {
    if (isApplying) return;
    isApplying = true;
    const now = wholeBox(box, turned());
    const answer = await askOf(subject, "edit_picture", { rotate, crop: isWhole() ? null : [now.left, now.top, now.width, now.height], size: [turned().across, turned().down], copy });
    isApplying = false;
    failed.hidden = !answer?.error;
    failed.textContent = answer?.error ?? "";
    if (!answer || answer.error) return;
    close();
    await pictured(answer, { quietly: !copy });
    if (next && state.at < state.ids.length - 1) { go(state.at + 1); openCrop(); }
  };
  const close = () => { watcher.disconnect(); dialog.close(); dialog.remove(); part("grid").focus({ preventScroll: true }); };

  const copying = button(words("crop.copy"), () => apply({ copy: true }), { title: words("crop.copy.help"), id: "captions-crop-copy" });
  const field = (name) => el("label", {}, words("crop." + name), numbers[name]);
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog crop-dialog", "aria-label": words("crop"), onkeydown: keyed },
    el("header", {}, el("strong", {}, words("crop")), el("span", { class: "tool-name" }, row.name), el("span", { class: "spacer" }),
      iconButton("", words("turn.left"), () => turn(-90), { "data-tool": "crop-left", class: "small-button tool-icon" }), iconButton("", words("turn.right"), () => turn(90), { "data-tool": "crop-right", class: "small-button tool-icon" })),
    el("div", { class: "tool-body" }, stage,
      el("div", { class: "tool-side" }, told, fate,
        el("h5", {}, words("crop.shape")), shapes, el("div", { class: "crop-row" }, el("label", { class: "crop-own" }, words("crop.typed"), own), button(words("crop.swap"), swap, { "data-tool": "swap", title: "X" }), button(words("crop.all"), all, { "data-tool": "all", title: "A" })),
        el("h5", {}, words("crop.bucket")), el("div", { class: "crop-row" }, nearest, buckets),
        el("details", {}, el("summary", {}, words("crop.numbers")), el("div", { class: "crop-numbers" }, ...Object.keys(numbers).map(field))),
        el("p", { class: "quiet", id: "captions-crop-keys" }, words("crop.keys")), failed)),
    el("div", { class: "dialog-foot" }, el("span", { class: "quiet" }, words("crop.help")), button(words("cancel"), () => close(), { "data-tool": "cancel" }), copying, button(words("crop.apply"), () => apply(), { class: "main-button", id: "captions-crop-apply" })));
  dialog.querySelector('[data-tool="crop-left"]').append(iconNode("left"));
  dialog.querySelector('[data-tool="crop-right"]').append(iconNode("right"));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  const watcher = new ResizeObserver(fit);
  const open = () => {
    root.append(dialog);
    dialog.showModal();
    watcher.observe(stage);
    mark();
    fit();
    frame.focus();
    const image = new Image();
    image.onload = () => { picture = image; fit(); };
    image.onerror = () => { failed.hidden = false; failed.textContent = words("picture_unreadable"); };
    image.src = originalAddress(row, facts);
  };
  return { open };
}
