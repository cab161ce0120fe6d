// The box that cuts a picture: {left, top, width, height} in pixels of the turned picture, whose size is {across, down}.
// A shape is width over height; null is any.
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

// The preset that a shape is.
const presetOf = (shape) => SHAPES.find((name) => shapeOf(name) && Math.abs(shapeOf(name) - shape) < 1e-6) ?? "typed";
