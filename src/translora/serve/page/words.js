"use strict";
/* The words in which two texts differ. */

const MOST_STEPS = 4e6;

function wordsOf(text, language) {
  if (!Intl.Segmenter) return text.match(/\s+|[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]/gu) || [];
  let segmenter;
  try {
    segmenter = new Intl.Segmenter(language, { granularity: "word" });
  } catch {
    segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
  }
  return Array.from(segmenter.segment(text), (one) => one.segment);
}

function isSpace(word) {
  return !word.trim();
}

/* For each of two lists of words whether it is in their longest common subsequence; null where they are too long. */
function common(first, second) {
  let start = 0, end = 0;
  while (start < Math.min(first.length, second.length) && first[start] === second[start]) start += 1;
  while (end < Math.min(first.length, second.length) - start && first.at(-1 - end) === second.at(-1 - end)) end += 1;
  const rows = first.length - start - end, columns = second.length - start - end;
  if (rows * columns > MOST_STEPS) return null;
  const width = columns + 1, best = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      best[i * width + j] = first[start + i] === second[start + j]
        ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const kept = [first, second].map((words) => words.map((_, number) => number < start || number >= words.length - end));
  for (let i = 0, j = 0; i < rows && j < columns;) {
    if (first[start + i] === second[start + j]) {
      kept[0][start + i] = kept[1][start + j] = true;
      i += 1;
      j += 1;
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return kept;
}

/* Two texts as lists of [text, whether it differs], and how many words of each differ; null where they are too long. */
function differences(first, second, language) {
  const all = [first, second].map((text) => wordsOf(text, language));
  const solid = all.map((words) => words.filter((word) => !isSpace(word)));
  const kept = common(...solid);
  if (!kept) return null;
  return all.map((words, side) => {
    const parts = [];
    let number = 0;
    for (const [place, word] of words.entries()) {
      const before = number > 0 && !kept[side][number - 1], after = number < kept[side].length && !kept[side][number];
      const differs = isSpace(word) ? before && after && place > 0 : !kept[side][number];
      if (!isSpace(word)) number += 1;
      if (parts.length && parts.at(-1)[1] === differs) parts.at(-1)[0] += word;
      else parts.push([word, differs]);
    }
    const real = solid[side].map((word, place) => [/[\p{L}\p{N}]/u.test(word), kept[side][place]]).filter(([one]) => one);
    return { parts, count: real.filter(([, same]) => !same).length, words: real.length };
  });
}
