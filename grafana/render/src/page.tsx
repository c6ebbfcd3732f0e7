// A dashboard as Grafana shows it: its panels on a grid of 24 columns, dark. `window.draw` draws one and answers which of
// its panels had no data.
import { createTheme, type DataFrame, dateTime, standardTransformers, standardTransformersRegistry, ThemeContext, type TimeRange, transformDataFrame } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { lastValueFrom } from 'rxjs';
import { configure } from './fields';
import { Drawn, type Panel } from './panels';
import { ask, type Scale } from './prometheus';

const WIDTH = 1600;
const MARGIN = 16;
const GAP = 8;
const ROW = 30;
const CHROME = 40;

interface Input {
  dashboard: { title: string; description: string; panels: Panel[] };
  seconds: number;
  scrape: number;
}

// Those that our tables use.
const TRANSFORMERS = [standardTransformers.joinByFieldTransformer, standardTransformers.organizeFieldsTransformer];
standardTransformersRegistry.setInit(() =>
  TRANSFORMERS.map(
    (transformation: any) => ({ id: transformation.id, name: transformation.name, transformation }) as any
  )
);

const theme = createTheme({ colors: { mode: 'dark' } });

async function load(panel: Panel, time: TimeRange, scale: Scale): Promise<DataFrame[]> {
  const answers = await Promise.all((panel.targets ?? []).map((target) => ask(target, time, scale)));
  let frames = answers.flat();
  if (panel.transformations?.length) {
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  }
  return configure(frames, panel.fieldConfig, theme);
}

function at({ x, y, w, h }: Panel['gridPos']) {
  const column = (WIDTH - 2 * MARGIN + GAP) / 24;
  return {
    left: MARGIN + x * column,
    top: CHROME + MARGIN + y * (ROW + GAP),
    width: w * column - GAP,
    height: h * (ROW + GAP) - GAP,
  };
}

function Dashboard({ input, data, time }: { input: Input; data: Map<number, DataFrame[]>; time: TimeRange }) {
  const { title, panels } = input.dashboard;
  const height = Math.max(...panels.map(({ gridPos }) => at(gridPos).top + at(gridPos).height)) + MARGIN;
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="dashboard" style={{ position: 'relative', width: WIDTH, height, background: theme.colors.background.canvas }}>
        <h4 style={{ padding: `${MARGIN}px ${MARGIN}px 0`, margin: 0 }}>{title}</h4>
        {panels.map((panel) => {
          const { left, top, width, height } = at(panel.gridPos);
          return (
            <div key={panel.id} style={{ position: 'absolute', left, top, width, height }}>
              {panel.type === 'row' ? (
                <div style={{ ...theme.typography.h5, lineHeight: `${height}px` }}>{panel.title}</div>
              ) : (
                <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
                  {(width, height) => <Drawn panel={panel} frames={data.get(panel.id)!} width={width} height={height} time={time} />}
                </PanelChrome>
              )}
            </div>
          );
        })}
      </div>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

async function draw(input: Input): Promise<{ empty: string[]; height: number }> {
  const now = Math.floor(Date.now() / 1000);
  const range = { from: dateTime((now - input.seconds) * 1000), to: dateTime(now * 1000) };
  const time: TimeRange = { ...range, raw: range };
  const scale = { scrape: input.scrape, step: Math.max(input.scrape, Math.ceil(input.seconds / 500)) };
  const panels = input.dashboard.panels.filter(({ type }) => type !== 'row');
  const data = new Map(await Promise.all(panels.map(async (panel) => [panel.id, await load(panel, time, scale)] as const)));
  createRoot(document.getElementById('root')!).render(<Dashboard input={input} data={data} time={time} />);
  await new Promise((drawn) => setTimeout(drawn, 2000));
  const empty = [...document.querySelectorAll<HTMLElement>('[data-empty]')].map(({ dataset }) => dataset.empty!);
  return { empty, height: document.getElementById('dashboard')!.offsetHeight };
}

(window as any).draw = draw;
