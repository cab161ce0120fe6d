// The sample wall: a picture opens large; two steps of it are compared under a slider. Uses props.texts.
document.getElementById("sample-viewer")?.remove();
const viewer = document.createElement("dialog");
viewer.id = "sample-viewer";
viewer.className = "athanor-dialog sample-viewer";
viewer.innerHTML = `
  <header><strong></strong><span class="viewer-steps"></span><button type="button" class="viewer-close"></button></header>
  <div class="viewer-stage"><img class="viewer-right" alt=""><img class="viewer-left" alt=""><i class="viewer-line"></i>
  <input type="range" min="0" max="100" value="50"></div>
  <p></p>
  <div class="dialog-foot"><button type="button" class="viewer-previous">&#8592;</button><button type="button" class="viewer-next">&#8594;</button>
  <label><span></span> <select></select></label></div>`;
document.body.append(viewer);
const part = (selector) => viewer.querySelector(selector);
let shown = null; // { row, step, other }

// Every picture of the run, also those of steps that the wall has scrolled away: [{ prompt, files: { step: [url, seed] } }].
const rows = () => JSON.parse(element.querySelector(".wall")?.dataset.pictures || "[]");
const at = (row, step) => rows()[row]?.files[step];
const steps = (row) => Object.keys(rows()[row].files).map(Number).sort((a, b) => a - b);

function paint() {
  const picture = at(shown.row, shown.step);
  const other = shown.other === null ? null : at(shown.row, shown.other);
  if (!picture) return viewer.close();
  part(".viewer-left").src = picture[0];
  part(".viewer-left").alt = rows()[shown.row].prompt;
  part(".viewer-right").hidden = part("input").hidden = part(".viewer-line").hidden = !other;
  if (other) part(".viewer-right").src = other[0];
  part("strong").textContent = other ? label(shown.step) + " | " + label(shown.other) : label(shown.step);
  part("p").textContent = rows()[shown.row].prompt;
  part(".viewer-steps").textContent = props.texts.seed + " " + picture[1];
  slide();
  const select = part("select");
  select.replaceChildren(new Option(props.texts.nothing, ""), ...steps(shown.row).filter((s) => s !== shown.step).map((s) => new Option(label(s), s)));
  select.value = shown.other ?? "";
}

const label = (step) => props.texts.step.replace("{step}", step);

function slide() {
  const share = shown.other === null ? 100 : Number(part("input").value);
  part(".viewer-left").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  part(".viewer-line").style.left = share + "%";
}

function move(columns, down) {
  const line = steps(shown.row);
  const step = line[line.indexOf(shown.step) + columns];
  const row = shown.row + down;
  if (down && at(row, shown.step)) shown.row = row;
  if (columns && step !== undefined && step !== shown.other) shown.step = step;
  paint();
}

function open(row, step, other) {
  shown = { row, step, other };
  part(".viewer-close").textContent = props.texts.close;
  part("label span").textContent = props.texts.compare;
  part("input").setAttribute("aria-label", props.texts.compare);
  part("input").value = 50;
  viewer.showModal();
  paint();
}

element.addEventListener("click", (event) => {
  const picture = event.target.closest(".wall-picture");
  if (picture) return open(Number(picture.dataset.row), Number(picture.dataset.step), null);
  if (!event.target.closest(".wall-compare")) return;
  const from = element.querySelector(".wall-from");
  const to = element.querySelector(".wall-to");
  open(0, Number(from.value), from.value === to.value ? null : Number(to.value));
});
part(".viewer-close").addEventListener("click", () => viewer.close());
part(".viewer-previous").addEventListener("click", () => move(-1, 0));
part(".viewer-next").addEventListener("click", () => move(1, 0));
part("input").addEventListener("input", slide);
part("select").addEventListener("change", (event) => {
  shown.other = event.target.value === "" ? null : Number(event.target.value);
  paint();
});
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (moves[event.key]) move(...moves[event.key]);
});

// Pictures of a few pixels, such as the demo's, are shown as the squares that they are.
element.addEventListener(
  "load",
  (event) => element.classList.toggle("has-small-pictures", event.target.naturalWidth < 120),
  { capture: true },
);
part(".viewer-left").addEventListener("load", (event) => viewer.classList.toggle("has-small-pictures", event.target.naturalWidth < 240));

// The newest step is what one wants to see, and to compare with the first; a choice of the user's is left alone.
let scrolled = null;
function choose() {
  const wall = element.querySelector(".wall-scroll");
  if (wall && (scrolled === null || wall.scrollLeft >= scrolled - 4)) wall.scrollLeft = wall.scrollWidth;
  scrolled = wall ? wall.scrollLeft : null;
  const to = element.querySelector(".wall-to");
  if (to && !to.dataset.chosen) to.selectedIndex = to.options.length - 1;
}
element.addEventListener("change", (event) => event.target.matches(".wall-to") && (event.target.dataset.chosen = 1));
watch("value", choose);
new ResizeObserver(choose).observe(element); // also when the page is shown that was hidden
choose();
