// Line charts on canvas with a shared zoom. Body of js_on_load of ui/charts.py: element, props, watch.
// props.value: { x_label, reset, empty, charts: [{ title, log, format, series: [{ label, faint, points: [[x, y], ...] }] }] }
const COLOURS = {
  light: ["#c2410c", "#0369a1", "#4d7c0f", "#7e22ce", "#be123c"],
  dark: ["#fb923c", "#38bdf8", "#a3e635", "#c084fc", "#fb7185"],
};
const PAD = { left: 58, right: 14, top: 10, bottom: 24 };
const HEIGHT = 210;

let zoom = null; // [x0, x1] for all charts, or null for everything
let drag = null; // { chart, from, to } in x values
let hover = null; // x value
let drawn = []; // one { canvas, chart, plot } per chart

const isDark = () => document.body.classList.contains("dark");
const style = (name, fallback) => getComputedStyle(element).getPropertyValue(name).trim() || fallback;

function format(value, kind) {
  if (kind === "bytes") return Number((value / 2 ** 30).toFixed(value < 2 ** 30 ? 2 : 1)) + " GB";
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1).replace(".0e", "e");
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString();
  return String(Number(value.toPrecision(3)));
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw) || power;
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return found;
}

function range(chart) {
  const all = chart.series.flatMap((s) => s.points);
  const xs = zoom || [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
  // What lies inside the zoom sets the height; wild single values of the raw curve must not flatten the rest.
  const inside = all.filter((p) => p[0] >= xs[0] && p[0] <= xs[1]).map((p) => p[1]).sort((a, b) => a - b);
  let low = inside[0] ?? 0;
  let high = inside[inside.length - 1] ?? 1;
  const tall = inside[Math.floor(inside.length * 0.99)];
  if (chart.clip && inside.length > 200 && high > tall * 3) high = tall * 1.5;
  if (chart.from_zero) low = Math.min(0, low);
  const margin = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  const widen = xs[1] === xs[0] ? 1 : 0;
  return { x0: xs[0] - widen, x1: xs[1] + widen, y0: chart.from_zero ? low : low - margin, y1: high + margin };
}

function draw(item) {
  const { canvas, chart } = item;
  const width = canvas.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  if (!width) return;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(HEIGHT * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  const r = range(chart);
  const px = (x) => PAD.left + ((x - r.x0) / (r.x1 - r.x0)) * (width - PAD.left - PAD.right);
  const py = (y) => HEIGHT - PAD.bottom - ((y - r.y0) / (r.y1 - r.y0)) * (HEIGHT - PAD.top - PAD.bottom);
  item.toX = (pixel) => r.x0 + ((pixel - PAD.left) / (width - PAD.left - PAD.right)) * (r.x1 - r.x0);
  axes(context, chart, r, px, py, width);
  context.save();
  context.beginPath();
  context.rect(PAD.left, PAD.top, width - PAD.left - PAD.right, HEIGHT - PAD.top - PAD.bottom);
  context.clip();
  lines(context, chart, px, py);
  overlay(context, chart, item, px, py);
  context.restore();
}

function axes(context, chart, r, px, py, width) {
  const text = style("--body-text-color-subdued", "#888");
  const grid = style("--border-color-primary", "#ddd");
  context.font = "11px " + style("--font", "sans-serif");
  context.fillStyle = text;
  context.strokeStyle = grid;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  const unit = chart.format === "bytes" ? 2 ** 30 : 1;
  for (const y of ticks(r.y0 / unit, r.y1 / unit, 4).map((tick) => tick * unit)) {
    context.beginPath();
    context.moveTo(PAD.left, Math.round(py(y)) + 0.5);
    context.lineTo(width - PAD.right, Math.round(py(y)) + 0.5);
    context.stroke();
    context.fillText(format(y, chart.format), PAD.left - 6, py(y));
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const x of ticks(r.x0, r.x1, Math.max(2, Math.floor(width / 110)))) {
    if (px(x) >= PAD.left && px(x) <= width - PAD.right) context.fillText(format(x), px(x), HEIGHT - PAD.bottom + 7);
  }
}

function lines(context, chart, px, py) {
  const colours = COLOURS[isDark() ? "dark" : "light"];
  chart.series.forEach((series, index) => {
    context.strokeStyle = colours[(series.colour ?? index) % colours.length];
    context.globalAlpha = series.faint ? 0.3 : 1;
    context.lineWidth = series.faint ? 1 : 2;
    context.lineJoin = "round";
    context.beginPath();
    series.points.forEach(([x, y], i) => (i ? context.lineTo(px(x), py(y)) : context.moveTo(px(x), py(y))));
    context.stroke();
    if (series.points.length === 1) context.fillRect(px(series.points[0][0]) - 2, py(series.points[0][1]) - 2, 4, 4);
    context.globalAlpha = 1;
  });
}

function nearest(points, x) {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle;
    else high = middle;
  }
  return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
}

function overlay(context, chart, item, px, py) {
  if (drag) {
    context.fillStyle = style("--body-text-color", "#888");
    context.globalAlpha = 0.12;
    context.fillRect(px(Math.min(drag.from, drag.to)), 0, Math.abs(px(drag.to) - px(drag.from)), HEIGHT);
    context.globalAlpha = 1;
  }
  const full = chart.series.filter((series) => series.points.length);
  const readout = item.canvas.parentElement.querySelector(".chart-readout");
  if (hover === null || !full.length) {
    readout.textContent = "";
    return;
  }
  const at = nearest(full[0].points, hover);
  context.strokeStyle = style("--body-text-color-subdued", "#888");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(px(at[0])) + 0.5, 0);
  context.lineTo(Math.round(px(at[0])) + 0.5, HEIGHT);
  context.stroke();
  const colours = COLOURS[isDark() ? "dark" : "light"];
  full.forEach((series) => {
    const point = nearest(series.points, hover);
    context.fillStyle = colours[(series.colour ?? chart.series.indexOf(series)) % colours.length];
    context.beginPath();
    context.arc(px(point[0]), py(point[1]), 3, 0, 7);
    context.fill();
  });
  const values = full.map((series) => series.label + " " + format(nearest(series.points, hover)[1], chart.format));
  readout.textContent = props.value.x_label + " " + at[0] + " · " + values.join(" · ");
}

const redraw = () => requestAnimationFrame(() => drawn.forEach(draw));

function listen(item) {
  const { canvas } = item;
  const x = (event) => item.toX(event.clientX - canvas.getBoundingClientRect().left);
  canvas.addEventListener("pointerdown", (event) => {
    if (!item.toX || event.button) return;
    drag = { from: x(event), to: x(event) };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!item.toX) return;
    hover = x(event);
    if (drag) drag.to = hover;
    redraw();
  });
  canvas.addEventListener("pointerup", () => {
    if (drag && Math.abs(drag.to - drag.from) >= 1) setZoom([Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)]);
    drag = null;
    redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    redraw();
  });
  canvas.addEventListener("dblclick", () => setZoom(null));
}

function setZoom(next) {
  zoom = next;
  element.querySelectorAll(".chart-reset").forEach((button) => (button.hidden = !zoom));
  redraw();
}

function legend(chart, colours) {
  const list = document.createElement("span");
  list.className = "chart-legend";
  chart.series.forEach((series, index) => {
    const mark = document.createElement("i");
    mark.style.background = colours[(series.colour ?? index) % colours.length];
    mark.style.opacity = series.faint ? 0.4 : 1;
    const label = document.createElement("span");
    label.textContent = series.label;
    list.append(mark, label);
  });
  return list;
}

// The frame is rebuilt only when other charts or series are shown; new points only redraw.
function build(value) {
  const root = element.querySelector(".charts");
  root.replaceChildren();
  drawn = value.charts.map((chart) => {
    const figure = document.createElement("figure");
    const head = document.createElement("figcaption");
    const title = document.createElement("strong");
    title.textContent = chart.title;
    const readout = document.createElement("span");
    readout.className = "chart-readout";
    const reset = document.createElement("button");
    reset.type = "button";
    reset.className = "chart-reset";
    reset.textContent = value.reset;
    reset.hidden = !zoom;
    reset.addEventListener("click", () => setZoom(null));
    head.append(title, reset);
    const foot = document.createElement("div");
    foot.className = "chart-foot";
    foot.append(readout, legend(chart, COLOURS[isDark() ? "dark" : "light"]));
    const canvas = document.createElement("canvas");
    canvas.style.height = HEIGHT + "px";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", chart.title);
    figure.append(head, canvas, foot);
    root.append(figure);
    const item = { canvas, chart };
    listen(item);
    return item;
  });
  resize.disconnect();
  drawn.forEach((item) => resize.observe(item.canvas));
}

const resize = new ResizeObserver(redraw);
let shape = "";

function update() {
  const value = props.value;
  if (!value || !value.charts) return;
  const now = JSON.stringify([value.run, isDark(), value.reset, value.charts.map((c) => [c.title, c.series.map((s) => s.label)])]);
  if (!element.querySelector(".charts")) return;
  if (now !== shape || !element.querySelector("canvas")) {
    if (JSON.parse(shape || "[0]")[0] !== value.run) zoom = null;
    shape = now;
    build(value);
  }
  value.charts.forEach((chart, index) => (drawn[index].chart = chart));
  redraw();
}

watch("value", update);
const theme = new MutationObserver(() => (element.isConnected ? update() : theme.disconnect()));
theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
update();
