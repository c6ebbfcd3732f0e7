// What Grafana's own data source does: the dashboard's variables are replaced, Prometheus is asked, and its answer becomes
// data frames.
import { type DataFrame, FieldType, type TimeRange, toDataFrame } from '@grafana/data';

export interface Target {
  refId: string;
  expr: string;
  legendFormat: string;
  instant: boolean;
  format?: string;
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

/** Seconds between Prometheus' looks at each process. */
export interface Scale {
  scrape: number;
  step: number;
}

/** Puts values in the place of variables; `All` is every value, as the dashboards say. */
function replace(expr: string, scale: Scale, range: number): string {
  const rate = Math.max(scale.step + scale.scrape, 4 * scale.scrape);
  return expr
    .replaceAll('$__rate_interval', `${rate}s`)
    .replaceAll('$__interval', `${scale.step}s`)
    .replaceAll('$__range', `${range}s`)
    .replaceAll(/\$(instance|kind)\b/g, '.*');
}

function nameOf(target: Target, labels: Record<string, string>): string {
  if (target.legendFormat) {
    return target.legendFormat.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : name || 'Value';
}

function number(text: string): number | null {
  const value = Number(text === '+Inf' ? 'Infinity' : text === '-Inf' ? '-Infinity' : text);
  return Number.isFinite(value) ? value : null;
}

/** One frame a series, with a null where there is no value, so that a gap is seen as one. */
function lines(target: Target, series: Series[], times: number[]): DataFrame[] {
  return series.map(({ metric, value, values }) => {
    const points = new Map((values ?? (value ? [value] : [])).map(([at, text]) => [at, number(text)]));
    const at = value ? [value[0]] : times;
    return toDataFrame({
      refId: target.refId,
      name: nameOf(target, metric),
      fields: [
        { name: 'Time', type: FieldType.time, values: at.map((second) => second * 1000) },
        {
          name: 'Value',
          type: FieldType.number,
          labels: metric,
          values: at.map((second) => points.get(second) ?? null),
          config: { displayNameFromDS: nameOf(target, metric) },
        },
      ],
    });
  });
}

/** One row a series, one column a label. */
function rows(target: Target, series: Series[]): DataFrame {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map(({ value }) => (value?.[0] ?? 0) * 1000) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: series.map(({ metric }) => metric[label] ?? ''),
      })),
      {
        name: `Value #${target.refId}`,
        type: FieldType.number,
        values: series.map(({ value }) => number(value?.[1] ?? '')),
      },
    ],
  });
}

export async function ask(target: Target, time: TimeRange, scale: Scale): Promise<DataFrame[]> {
  const [from, to] = [time.from.unix(), time.to.unix()];
  const parameters = new URLSearchParams({ query: replace(target.expr, scale, to - from) });
  if (target.instant) {
    parameters.set('time', String(to));
  } else {
    parameters.set('start', String(from));
    parameters.set('end', String(to));
    parameters.set('step', String(scale.step));
  }
  const answer = await fetch(`/api/v1/${target.instant ? 'query' : 'query_range'}`, { method: 'POST', body: parameters });
  const { status, error, data } = await answer.json();
  if (status !== 'success') {
    throw new Error(`${target.expr}: ${error}`);
  }
  const series: Series[] = data.result;
  if (target.format === 'table') {
    return [rows(target, series)];
  }
  const times = Array.from({ length: Math.floor((to - from) / scale.step) + 1 }, (_, i) => from + i * scale.step);
  return lines(target, series, times);
}
