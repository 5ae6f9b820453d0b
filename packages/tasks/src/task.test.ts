import { describe, expect, it } from '@jest/globals'
import { getTask } from './get-task.js'
import { capitalize, countCharacters, strip } from './python-strings.js'
import { scoreQuestions } from './score-questions.js'

const arc = { question: 'Q', choices: { text: ['a', 'b'], label: ['A', 'B'] }, answerKey: 'B' }
const hellaswag = { activity_label: 'A', ctx_a: 'a', ctx_b: 'b', endings: ['c', 'd'], label: '1' }
const sentence = 'The _ fell.'

describe('documents that hold no question', () => {
  it.each([
    ['arc_easy', { ...arc, answerKey: 'C' }, /line 3: no document of arc_easy: answerKey is "C"; the labels are A, B/],
    ['arc_easy', { ...arc, choices: { text: ['a', 'b'], label: ['A'] } }, /2 choices have 1 labels/],
    ['arc_challenge', { question: 'Q' }, /choices: .*answerKey: /],
    ['hellaswag', { ...hellaswag, label: '' }, /label: .*holds no answer/],
    ['hellaswag', { ...hellaswag, label: '2' }, /the answer is number 2 of 2 choices/],
    ['piqa', { goal: 'g', sol1: 's', sol2: 't', label: -1 }, /the answer is number -1 of 2 choices; the test splits/],
    ['winogrande', { sentence: 'No blank.', option1: 'a', option2: 'b', answer: '1' }, /has no blank "_"/],
    ['winogrande', { sentence: 'The _ ', option1: 'a', option2: 'b', answer: '1' }, /nothing follows the blank/],
    ['winogrande', { sentence, option1: 'a', option2: 'b', answer: '' }, /answer: holds no answer/],
    ['winogrande', { sentence: '_ fell.', option1: 'a', option2: '', answer: '1' }, /its prompt is empty/],
    ['boolq', { passage: 'p', question: 'q' }, /neither a label nor an answer/],
  ])('%s refuses %j', (name, row, message) => {
    const parse = () => getTask(name).parse(row, 'line 3')
    expect(parse).toThrow(expect.objectContaining({ code: 'TASK_DOCUMENT_INVALID' }))
    expect(parse).toThrow(message)
  })

  it('names the tasks when there is none of a name', () => {
    expect(() => getTask('mmlu')).toThrow(/no task "mmlu"; there are hellaswag, arc_easy/)
  })
})

it('reads the rows of google/boolq too', () => {
  const row = { passage: 'p', question: 'q' }
  const task = getTask('boolq')
  expect(task.parse({ ...row, answer: true }, '')).toEqual(task.parse({ ...row, label: 1 }, ''))
  expect(task.parse({ ...row, answer: false, label: null }, '')).toEqual(task.parse({ ...row, label: 0 }, ''))
})

// The expected values are Python's.
describe('strings as in Python', () => {
  it.each([
    ['', ''],
    ['she Runs', 'She runs'],
    ['[STEP] Do', '[step] do'],
    ['élan', 'Élan'],
    ['ßa', 'Ssa'],
    ['ΣΑΣ', 'Σας'],
    ['İX', 'İx'],
    ['😀 AB', '😀 ab'],
  ])('%j capitalised is %j', (text, expected) => {
    expect(capitalize(text)).toBe(expected)
  })

  it('strips what Python takes for white space', () => {
    expect(strip('\u001f\u0085\u3000 a b\n\u2003')).toBe('a b')
    expect(strip('\ufeffa\ufeff')).toBe('\ufeffa\ufeff')
  })

  it('counts characters, not UTF-16 units', () => {
    expect(countCharacters('a😀é')).toBe(3)
  })
})

it('lets the first of equals win, and gives one document no error', () => {
  const question = getTask('arc_easy').parse(arc, '')
  expect(scoreQuestions(getTask('arc_easy'), [question], [[-1, -1]])).toEqual({
    ...{ acc: 0, acc_stderr: null, acc_norm: 0, acc_norm_stderr: null, documents: 1 },
  })
})
