// What is done with pictures rather than captions: stars, turning, the trash, other folders, masks; and marks on tiles.
// Everything acts on the selected pictures, or on the one that is shown beside the grid.
const ICONS = {
  crop: ["M4.5 1v10.5H15M1 4.5h10.5V15"],
  left: ["M3.2 8.5a5 5 0 1 0 1.6-4.2M4.6 1v3.6h3.6"],
  right: ["M12.8 8.5a5 5 0 1 1-1.6-4.2M11.4 1v3.6H7.8"],
  mask: ["M8 2.2a5.8 5.8 0 1 1 0 11.6a5.8 5.8 0 1 1 0-11.6z", "M8 2.2a5.8 5.8 0 0 0 0 11.6z"],
  eye: ["M1 8s2.6-4.5 7-4.5S15 8 15 8s-2.6 4.5-7 4.5S1 8 1 8z", "M8 6a2 2 0 1 1 0 4a2 2 0 1 1 0-4z"],
  trash: ["M2.5 4.2h11M6 4V2.3h4V4M3.9 4.2l.7 9.5h6.8l.7-9.5M6.7 6.8v4.4M9.3 6.8v4.4"],
  move: ["M1.5 13V3.5h4.2l1.5 1.8h7.3V13zM5.5 9.2h5M8.6 7.2l2 2-2 2"],
};
const MAXIMUM_STARS = 5;
function iconNode(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [attribute, value] of Object.entries({ viewBox: "0 0 16 16", class: "tool-svg icon-" + name, "aria-hidden": "true" })) svg.setAttribute(attribute, value);
  for (const shape of ICONS[name]) svg.append(Object.assign(document.createElementNS("http://www.w3.org/2000/svg", "path"), {})), svg.lastChild.setAttribute("d", shape);
  return svg;
}
const toolButton = (name, label, onclick, attributes = {}) => { const node = button("", onclick, { title: label, "aria-label": label, class: "small-button tool-icon", ...attributes }); node.append(iconNode(name)); return node; };

const hasDialog = () => Boolean(document.querySelector("dialog.tool-dialog"));
const pictureIds = () => (state.selected.size > 1 ? [...state.selected] : currentId() === null ? [] : [currentId()]);
const originalAddress = (row, facts, form = "original") => `../captions/pictures/${state.info.key}/${row.id}?size=1536&form=${form}&v=${facts.stamp}`;
const maskAddress = (row, size) => `../captions/masks/${state.info.key}/${row.id}?size=${size}&v=${row.stamp}-${row.mask}`;

// Takes over what became of pictures; says it with the way back unless it is plain to see.
async function pictured(answer, { quietly = false } = {}) {
  if (!answer || answer.error) return;
  await took(answer);
  if (answer.problem) say([answer.done, answer.problem].filter(Boolean).join("\n"), "warning", ...(answer.can_undo ? [button(words("undo"), () => travel("undo"), { "data-tool": "undo-done" })] : []));
  else if (answer.done && !quietly) { if (answer.can_undo) said(answer); else say(answer.done); }
}

// One after the other: keys that follow fast are of the pictures as the one before has left them.
let lastTurn = Promise.resolve();
const inTurn = (work) => {
  const turn = async () => { await settled(); const answer = await work(); await settled(); return answer; };
  return (lastTurn = lastTurn.then(turn, turn));
};

// Asks of the picture of a dialog, by its name where rows have other numbers than when the dialog opened.
async function askOf({ row, info }, method, argument = {}) {
  for (let tries = 0; tries < 2; tries += 1) {
    await settled();
    const found = info === state.info ? row.id : (await ask("find", { names: [row.name] }))?.ids?.[row.name];
    if (found === undefined) return { error: words("picture_gone", { name: row.name }) };
    const before = lastOpening;
    const answer = await ask(method, { row: found, ...argument });
    if (answer || before === lastOpening) return answer;
  }
  return null;
}

// Keys as they stand on the keyboard, whatever it makes of them.
const KEYS_MEANT = { "\u3010": "[", "\u3011": "]", "\uff3b": "[", "\uff3d": "]", "\uff0b": "+", "\uff0d": "-" };
const keyOf = (event) => KEYS_MEANT[event.key] ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);

const changePictures = (method, argument = {}, { quietly = false } = {}) => inTurn(async () => {
  const ids = pictureIds();
  if (!ids.length || !state.info) return;
  await save();
  await pictured(await ask(method, { ids: toText(ids), ...argument }), { quietly });
});

// The row of the picture that is shown once all is done that was asked for before; it may be on its way still.
async function shownRow() {
  await lastTurn.catch(() => null);
  await settled();
  for (let tries = 0; tries < 60 && currentId() !== null && !currentRow(); tries += 1) {
    want([currentId()]);
    await new Promise((done) => setTimeout(done, 50));
  }
  return currentRow();
}

const ratePictures = (rating) => changePictures("rate_pictures", { rating }, { quietly: true });
const turnPictures = (degrees) => changePictures("turn_pictures", { degrees }, { quietly: true });
const copyPictures = () => changePictures("copy_pictures");

const removeMask = () => inTurn(async () => {
  await save();
  await pictured(await ask("save_mask", { row: currentId(), png: null }));
});

// Pictures that leave the folder: the grid goes on with the next one that stays.
const takeAway = (method, argument = {}) => inTurn(async () => {
  const ids = pictureIds();
  if (!ids.length || !state.info) return null;
  const gone = new Set(ids);
  const stays = (step) => { for (let at = state.at; at >= 0 && at < state.ids.length; at += step) if (!gone.has(state.ids[at])) return state.ids[at]; return null; };
  await save();
  const answer = await ask(method, { ids: toText(ids), next: stays(1) ?? stays(-1), ...argument });
  await pictured(answer);
  // What is said takes some of the grid's room.
  requestAnimationFrame(() => state.ids.length && showPosition(state.at));
  return answer;
});
const trashPictures = () => takeAway("trash_pictures");

// Stars: those of the picture, or of all that are selected where they have the same.
function starsNode(rows) {
  const now = rows[0] && rows.every((row) => row?.rating === rows[0].rating) ? rows[0].rating : 0;
  const star = (number) => button(number <= now ? "\u2605" : "\u2606", () => ratePictures(number === now ? 0 : number), { class: "star" + (number <= now ? " is-on" : ""), title: words("rate", { num: number }), "aria-label": words("rate", { num: number }), "aria-pressed": String(number === now), "data-tool": "star-" + number });
  return el("span", { class: "stars", role: "group", "aria-label": words("rating") }, ...Array.from({ length: MAXIMUM_STARS }, (_, at) => star(at + 1)));
}

function moreNode(rows, isMany) {
  const entry = (label, onclick, tool, shown = true) => (shown ? button(label, () => { menu.open = false; menu.firstElementChild.focus(); onclick(); }, { class: "menu-entry", "data-tool": tool }) : null);
  const isEdited = isMany || rows.some((row) => row?.cropped || row?.rotate || row?.problem);
  const menu = el("details", { class: "tool-menu" }, el("summary", { title: words("tools.more"), "aria-label": words("tools.more"), class: "small-button tool-icon", "data-tool": "more" }, "\u22ef"),
    el("div", { class: "menu-list" },
      entry(words("similar"), () => showSimilar(currentRow()), "similar", !isMany),
      entry(words("reset"), resetPictures, "reset", isEdited),
      entry(words("copy"), copyPictures, "copy", isEdited),
      entry(words("crops"), openCropMany, "crops"),
      entry(words("mask.remove"), isMany ? removeMasks : removeMask, "mask-remove", isMany || Boolean(rows[0]?.mask)),
      entry(words("masks.import"), openImportMasks, "masks-import"),
      entry(words("background"), openBackground, "background"),
      entry(words("move"), openMove, "move")));
  menu.addEventListener("toggle", () => menu.open && menu.lastElementChild.scrollIntoView({ block: "nearest" }));
  // Drawn anew under somebody's hands it stays open.
  menu.open = Boolean(part("editor").querySelector(".tool-menu")?.open);
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape" && menu.open) { menu.open = false; menu.firstElementChild.focus(); event.preventDefault(); event.stopPropagation(); } });
  menu.addEventListener("focusout", (event) => { if (!menu.contains(event.relatedTarget) && event.relatedTarget) menu.open = false; });
  return menu;
}

// The row of tools below the picture.
function picturesNode() {
  const rows = pictureIds().slice(0, 200).map((id) => state.rows.get(id) ?? null);
  const isMany = state.selected.size > 1;
  const row = isMany ? null : currentRow();
  const hasMask = Boolean(row?.mask);
  return el("div", { class: "captions-tools picture-tools", role: "toolbar", "aria-label": words("tools") }, starsNode(rows),
    el("span", { class: "tool-group" },
    row || isMany ? toolButton("crop", (isMany ? words("crops.title") : words("crop")) + " (C)", isMany ? openCropMany : openCrop, { "data-tool": "crop" }) : null,
    toolButton("left", words("turn.left") + " ([)", () => turnPictures(-90), { "data-tool": "turn-left" }),
    toolButton("right", words("turn.right") + " (])", () => turnPictures(90), { "data-tool": "turn-right" }),
    row ? toolButton("mask", words("mask") + " (M)", openMask, { "data-tool": "mask" }) : null,
    hasMask ? toolButton("eye", words("mask.show") + " (O)", () => showMasks(!masksShown), { "aria-pressed": String(masksShown), "data-tool": "mask-show" }) : null,
    toolButton("trash", words("trash") + " (Del)", trashPictures, { "data-tool": "trash" }),
    moreNode(rows, isMany)));
}

// The mask lies over the picture: what does not count is tinted.
let masksShown = kept("masks", "1") === "1";
function showMasks(shown) {
  masksShown = shown;
  keep("masks", shown ? "1" : "0");
  drawEditor(true);
}
function layMask(picture, row, large) {
  const old = picture.querySelector(".mask-over");
  const source = row.mask && masksShown ? maskAddress(row, large ? 1536 : 768) : "";
  if (old?.getAttribute("src") === source) return;
  old?.remove();
  if (source) picture.append(el("img", { class: "mask-over", src: source, alt: words("mask.alt"), onerror: (event) => event.target.remove() }));
}

// Small signs at the foot of a tile's picture.
function markTile(node, row) {
  const wanted = [row.cropped ? "crop" : "", row.rotate ? "right" : "", row.mask ? "mask" : ""].filter(Boolean);
  const key = wanted.join() + row.rating;
  const box = node.querySelector(".tile-marks");
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  const names = { crop: "mark.cropped", right: "mark.turned", mask: "mark.masked" };
  box.replaceChildren(...wanted.map((name) => el("i", { title: words(names[name]), class: "mark-" + name }, iconNode(name))), row.rating ? el("i", { class: "mark-stars", title: words("rate", { num: row.rating }) }, `${row.rating}\u2605`) : "");
}

// Where to: the folders of the draft's data sets first, else any.
async function openMove() {
  const num = pictureIds().length;
  const answer = num ? await ask("places") : null;
  if (!answer || answer.error || hasDialog()) return;
  const close = () => { dialog.close(); dialog.remove(); if (document.activeElement === document.body) part("grid").focus({ preventScroll: true }); };
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const move = async (path) => {
    if (!path.trim()) return input.focus();
    const done = await takeAway("move_pictures", { target: path.trim() });
    failed.hidden = !done?.error;
    failed.textContent = done?.error ?? "";
    if (done?.error) return say("");
    close();
  };
  const input = el("input", { type: "text", id: "captions-move-to", class: "data-search", spellcheck: "false", autocomplete: "off", placeholder: words("folder.hint"), "aria-label": words("move.to"), onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); move(input.value); } } });
  const others = answer.folders.filter(({ path }) => path !== state.folder);
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog small-dialog", "aria-label": words("move") },
    el("header", {}, el("strong", {}, words("move.title", { num: many(num) }))),
    el("div", { class: "tool-form" }, el("p", { class: "quiet" }, words("move.help")),
      others.length ? el("ul", { class: "folder-cards" }, ...others.map(({ path, title }) => el("li", {}, el("button", { type: "button", class: "folder-card", onclick: () => move(path) }, el("strong", {}, title), el("small", {}, path))))) : null,
      el("div", { class: "with-button" }, input, el("button", { type: "button", class: "small-button", "data-browse": "captions-move-to", "data-kind": "folder" }, words("browse"))), failed),
    el("div", { class: "dialog-foot" }, el("span", {}), button(words("cancel"), close, { "data-tool": "cancel" }), button(words("move.apply"), () => move(input.value), { class: "main-button", id: "captions-move-apply" })));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  root.append(dialog);
  dialog.showModal();
  (dialog.querySelector(".folder-card") ?? input).focus();
}

// A run that makes masks by itself, for the selected pictures or the one that is shown.
async function openBackground() {
  const ids = pictureIds();
  const facts = ids.length ? await ask("background_facts") : null;
  if (!facts || facts.error || hasDialog()) return;
  const close = () => { dialog.close(); dialog.remove(); };
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const model = el("input", { type: "text", id: "captions-background-model", class: "data-search", list: "captions-backgrounds", spellcheck: "false", autocomplete: "off", value: kept("background", "") || facts.models[0]?.name || "" });
  const again = el("input", { type: "checkbox", id: "captions-background-again" });
  const note = el("p", { class: "quiet", role: "status", "data-part": "background-note" });
  const showNote = () => { note.textContent = facts.models.find(({ name }) => name === model.value.trim())?.note ?? ""; };
  model.addEventListener("input", showNote);
  showNote();
  const start = async (event) => {
    event.currentTarget.disabled = true;
    keep("background", model.value);
    const answer = await ask("remove_background", { ids: toText(pictureIds()), model: model.value.trim(), overwrite: again.checked });
    begin.disabled = false;
    failed.hidden = !answer?.error;
    failed.textContent = answer?.error ?? "";
    if (answer?.error) say("");
    if (!answer?.run) return;
    close();
    say(words("background.started"), "done", button(words("tagging.show"), () => window.athanor.openRun(answer.run), { "data-tool": "show-run" }));
  };
  const begin = button(words("background.start"), start, { class: "main-button", id: "captions-background-start", disabled: Boolean(facts.missing) });
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog small-dialog", "aria-label": words("background") },
    el("header", {}, el("strong", {}, words("background.title", { num: many(ids.length) }))),
    el("div", { class: "tool-form" }, el("p", { class: "quiet" }, words("background.help")),
      facts.missing ? el("p", { class: "tool-missing", role: "status" }, facts.missing) : el("label", {}, words("background.model"), model, el("datalist", { id: "captions-backgrounds" }, ...facts.models.map(({ name, title, size }) => el("option", { value: name }, `${title} \u00b7 ${size}`)))),
      facts.missing ? null : note, facts.missing ? null : el("label", { class: "batch-check" }, again, words("background.again")), failed),
    el("div", { class: "dialog-foot" }, el("span", {}), button(words("cancel"), close, { "data-tool": "cancel" }), begin));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  root.append(dialog);
  dialog.showModal();
}

// Keys that work wherever nobody types.
const PICTURE_KEYS = { c: () => (state.selected.size > 1 ? openCropMany() : openCrop()), m: () => openMask(), o: () => showMasks(!masksShown), "[": () => turnPictures(-90), "]": () => turnPictures(90), Delete: () => trashPictures() };
function pictureKey(event) {
  // Some keyboards write digits with Shift, and brackets with Shift, Alt or AltGr.
  const isBracket = /^[[\]]$/.test(keyOf(event));
  const isPlain = !(event.ctrlKey || event.metaKey || (event.altKey && !isBracket) || (event.shiftKey && !isBracket && !/^[0-5]$/.test(event.key))) || event.getModifierState("AltGraph");
  if (!isPlain || event.target.closest(".chip, summary, .menu-list")) return false;
  if (event.key === "Delete" && event.target.closest(".captions-left, .captions-head, .captions-batch, .captions-history")) return false;
  if (/^[0-5]$/.test(event.key)) ratePictures(Number(event.key));
  else if (PICTURE_KEYS[keyOf(event)]) { if (!event.repeat) PICTURE_KEYS[keyOf(event)](); }
  else return false;
  return true;
}
