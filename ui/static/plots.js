// Drawn plots of the Data page: histograms, shapes of buckets, crops. Needs el() of fields.js.
const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const PLOT = { bar: 62, height: 96, top: 18, bottom: 22 };

// Bars with their counts above and their ranges below; each can be chosen by click or key.
function barPlot(bars, rangeText, name, choose) {
  const width = bars.length * PLOT.bar;
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  const draw = (bar, index) => {
    const height = bar.count ? Math.max(2, (bar.count / most) * PLOT.height) : 0;
    const x = index * PLOT.bar, base = PLOT.top + PLOT.height;
    const words = `${rangeText(bar)}: ${bar.count.toLocaleString()}`;
    const group = svg("g", { class: "plot-bar", tabindex: bar.count ? 0 : null, role: bar.count ? "button" : null, "aria-label": words },
      svg("title", {}, words),
      svg("rect", { class: "plot-hit", x, y: 0, width: PLOT.bar, height: base + PLOT.bottom }),
      svg("rect", { class: "plot-fill", x: x + 5, y: base - height, width: PLOT.bar - 10, height, rx: 3 }),
      svg("text", { x: x + PLOT.bar / 2, y: base - height - 5, "text-anchor": "middle" }, bar.count ? bar.count.toLocaleString() : ""),
      svg("text", { class: "plot-label", x: x + PLOT.bar / 2, y: base + 15, "text-anchor": "middle" }, rangeText(bar)));
    if (bar.count) {
      group.addEventListener("click", () => choose(bar));
      group.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose(bar)));
    }
    return group;
  };
  const height = PLOT.top + PLOT.height + PLOT.bottom;
  return svg("svg", { class: "bar-plot", viewBox: `0 0 ${width} ${height}`, style: `width: ${width}px`, role: "group", "aria-label": name },
    svg("line", { class: "plot-axis", x1: 0, x2: width, y1: PLOT.top + PLOT.height, y2: PLOT.top + PLOT.height }), ...bars.map(draw));
}

// "0.5 - 1", "< 0.1", "> 8".
function rangeText(bar) {
  const number = (value) => String(Number(value.toFixed(2)));
  if (bar.low === null) return "< " + number(bar.high);
  return bar.high === null ? "> " + number(bar.low) : `${number(bar.low)}\u2013${number(bar.high)}`;
}

// The shape of a bucket, to scale.
function shape(width, height) {
  const scale = 26 / Math.max(width, height);
  return svg("svg", { class: "bucket-shape", viewBox: "0 0 30 30", "aria-hidden": "true" },
    svg("rect", { x: 15 - (width * scale) / 2, y: 15 - (height * scale) / 2, width: width * scale, height: height * scale, rx: 1.5 }));
}

// A picture with what is cut away darkened.
function cropPicture(crop, address) {
  const kept = `left:${crop.left}%;top:${crop.top}%;width:${crop.width}%;height:${crop.height}%`;
  return el("span", { class: "crop-picture" }, el("img", { src: address, alt: "", loading: "lazy" }), el("i", { class: crop.is_exact ? "" : "is-about", style: kept }));
}
