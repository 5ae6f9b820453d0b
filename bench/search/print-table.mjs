export function printTable(rows) {
  const round = (value) => (typeof value === 'number' ? Number(value.toFixed(3)) : value)
  console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, round(v)]))))
}
