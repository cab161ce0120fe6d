// The edge of a mask moved outwards or inwards, or made soft. All takes the same time however far it goes.
const COUNTS_FROM = 128;

// The squared distance of each pixel to the nearest one that counts (Meijster, Roerdink and Hesselink, 2000): up and down
// first, then along the rows. Far away is `far` or more.
function squaredDistances(counts, [across, down], far) {
  const upright = new Uint16Array(across * down);
  for (let at = 0; at < upright.length; at += 1) upright[at] = counts[at] ? 0 : at < across ? far : Math.min(far, upright[at - across] + 1);
  for (let at = upright.length - across - 1; at >= 0; at -= 1) upright[at] = Math.min(upright[at], upright[at + across] + 1);
  const squared = new Float32Array(across * down);
  const [place, from] = [new Int32Array(across), new Int32Array(across)];
  for (let row = 0; row < down; row += 1) {
    const start = row * across;
    const value = (column, near) => (column - near) ** 2 + upright[start + near] ** 2;
    let top = 0;
    place[0] = from[0] = 0;
    for (let column = 1; column < across; column += 1) {
      while (top >= 0 && value(from[top], place[top]) > value(from[top], column)) top -= 1;
      const other = place[Math.max(0, top)];
      const meet = top < 0 ? 0 : 1 + Math.floor((column ** 2 - other ** 2 + upright[start + column] ** 2 - upright[start + other] ** 2) / (2 * (column - other)));
      if (meet >= across) continue;
      top += 1;
      [place[top], from[top]] = [column, meet];
    }
    for (let column = across - 1; column >= 0; column -= 1) {
      squared[start + column] = value(column, place[top]);
      if (column === from[top]) top -= 1;
    }
  }
  return squared;
}

// What counts grows by a radius in pixels; soft edges within it go under.
function grownMask(mask, size, radius) {
  const far = Math.ceil(radius) + 2;
  const squared = squaredDistances(mask.map((value) => Number(value >= COUNTS_FROM)), size, far);
  const near = far ** 2;
  return mask.map((value, at) => (squared[at] >= near ? value : Math.max(value, Math.round(255 * limited(radius + 1 - Math.sqrt(squared[at]), 0, 1)))));
}

const inverted = (mask) => mask.map((value) => 255 - value);
const shrunkMask = (mask, size, radius) => inverted(grownMask(inverted(mask), size, radius));

// The mean along a line of pixels that lie `step` apart; beyond its ends it goes on as it ends.
function smearLine(mask, into, start, step, length, radius) {
  const last = length - 1;
  const at = (place) => mask[start + limited(place, 0, last) * step];
  let sum = 0;
  for (let place = -radius; place <= radius; place += 1) sum += at(place);
  for (let place = 0; place < length; place += 1) {
    into[start + place * step] = Math.round(sum / (2 * radius + 1));
    sum += at(place + radius + 1) - at(place - radius);
  }
}

// The edge is spread over so many pixels to each side: three means in a row are nearly a bell.
function softMask(mask, [across, down], radius) {
  const part = Math.max(1, Math.round(radius / 3));
  let [now, next] = [mask.slice(), new Uint8Array(mask.length)];
  for (let time = 0; time < 3; time += 1) {
    for (let row = 0; row < down; row += 1) smearLine(now, next, row * across, 1, across, part);
    [now, next] = [next, now];
    for (let column = 0; column < across; column += 1) smearLine(now, next, column, across, down, part);
    [now, next] = [next, now];
  }
  return now;
}
