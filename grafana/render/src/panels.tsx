// The panels, drawn by the components that Grafana draws them with. What a kind of panel does around its component is in
// Grafana itself and not in its packages; as much of it as our dashboards use is here.
import {
  type DataFrame,
  type DisplayValue,
  type Field,
  FieldType,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type FieldDisplay,
  type TimeRange,
  VizOrientation,
} from '@grafana/data';
import { BarGaugeDisplayMode, BarGaugeNamePlacement, BarGaugeValueMode } from '@grafana/schema';
import { BarGauge, BigValue, Gauge, Table, TimeSeries, useTheme2 } from '@grafana/ui';

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: any[];
  fieldConfig: any;
  options: any;
  transformations?: any[];
  links?: Array<{ title: string; url: string }>;
}

interface Props {
  panel: Panel;
  frames: DataFrame[];
  width: number;
  height: number;
  time: TimeRange;
}

function useValues({ panel, frames }: Props): FieldDisplay[] {
  const theme = useTheme2();
  return getFieldDisplayValues({
    data: frames,
    reduceOptions: panel.options.reduceOptions,
    fieldConfig: { defaults: panel.fieldConfig.defaults, overrides: [] },
    replaceVariables: (text) => text,
    theme,
    sparkline: panel.options.graphMode === 'area',
    timeZone: 'utc',
  });
}

function Stat(props: Props) {
  const { panel, width, height } = props;
  const theme = useTheme2();
  const values = useValues(props);
  const each = width / values.length;
  return (
    <div style={{ display: 'flex' }}>
      {values.map(({ display, sparkline }, i) => (
        <BigValue
          key={i}
          value={values.length === 1 ? { ...display, title: undefined } : display}
          sparkline={sparkline}
          width={each}
          height={height}
          theme={theme}
          colorMode={panel.options.colorMode}
          graphMode={panel.options.graphMode}
          justifyMode={panel.options.justifyMode}
          textMode={panel.options.textMode}
          count={values.length}
        />
      ))}
    </div>
  );
}

function Dial(props: Props) {
  const { panel, width, height } = props;
  const theme = useTheme2();
  const [first] = useValues(props);
  return (
    <Gauge
      value={{ ...first.display, title: undefined }}
      field={first.field}
      width={width}
      height={height}
      theme={theme}
      orientation={VizOrientation.Auto}
      showThresholdLabels={panel.options.showThresholdLabels}
      showThresholdMarkers={panel.options.showThresholdMarkers}
    />
  );
}

function Bars(props: Props) {
  const { panel, width, height } = props;
  const theme = useTheme2();
  const values = useValues(props);
  const most = Math.max(...values.map(({ display }) => display.numeric), 1);
  const factors = getDisplayValueAlignmentFactors(values);
  const gap = 8;
  const each = Math.min((height - gap * (values.length - 1)) / values.length, 44);
  return (
    <div style={{ display: 'flex', flexDirection: 'column', gap }}>
      {values.map(({ display, field, view, colIndex }, i) => (
        <BarGauge
          key={i}
          value={{ ...display, percent: display.numeric / most } as DisplayValue}
          field={{ ...field, min: 0, max: field.max ?? most }}
          display={view?.getFieldDisplayProcessor(colIndex ?? 0)}
          width={width}
          height={each}
          theme={theme}
          orientation={VizOrientation.Horizontal}
          displayMode={panel.options.displayMode as BarGaugeDisplayMode}
          valueDisplayMode={panel.options.valueMode as BarGaugeValueMode}
          namePlacement={panel.options.namePlacement as BarGaugeNamePlacement}
          showUnfilled={panel.options.showUnfilled}
          alignmentFactors={factors}
          isOverflow={false}
        />
      ))}
    </div>
  );
}

function Lines({ panel, frames, width, height, time }: Props) {
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={time} timeZone="utc" legend={panel.options.legend} structureRev={1} />
  );
}

function Grid({ panel, frames, width, height }: Props) {
  return (
    <Table
      data={frames[0]}
      width={width}
      height={height}
      cellHeight={panel.options.cellHeight}
      initialSortBy={panel.options.sortBy}
    />
  );
}

function isEmpty({ type }: Panel, frames: DataFrame[]): boolean {
  if (type === 'table') {
    return frames.every((frame) => frame.length === 0);
  }
  const has = (field: Field) => field.type === FieldType.number && field.values.some((value) => value !== null);
  return !frames.some((frame) => frame.fields.some(has));
}

const KINDS: Record<string, (props: Props) => JSX.Element> = {
  stat: Stat,
  gauge: Dial,
  bargauge: Bars,
  timeseries: Lines,
  table: Grid,
};

export function Drawn(props: Props) {
  const { panel, frames, width, height } = props;
  const Kind = KINDS[panel.type];
  if (!Kind) {
    throw new Error(`this kind of panel is not known here: ${panel.type}`);
  }
  if (isEmpty(panel, frames) && panel.fieldConfig.defaults.noValue === undefined) {
    return (
      <div data-empty={panel.title} style={{ width, height, display: 'grid', placeItems: 'center', opacity: 0.6 }}>
        No data
      </div>
    );
  }
  return <Kind {...props} />;
}
