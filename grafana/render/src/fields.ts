// Gives fields the dashboard's settings, as a panel does: defaults first, then overrides, then how values are written.
import {
  applyFieldOverrides,
  type DataFrame,
  type FieldConfigOptionsRegistry,
  getFieldDisplayName,
  type GrafanaTheme2,
  Registry,
  ThresholdsMode,
  type ThresholdsConfig,
} from '@grafana/data';

interface Override {
  matcher: { id: string; options: string };
  properties: Array<{ id: string; value: unknown }>;
}

export interface FieldConfig {
  defaults: Record<string, unknown>;
  overrides: Override[];
}

/** JSON has no infinity, so a dashboard says null for the value of the first threshold. */
function thresholds(config: Record<string, any>): void {
  const given: ThresholdsConfig | undefined = config.thresholds;
  if (given) {
    const steps = given.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
    config.thresholds = { mode: ThresholdsMode.Absolute, steps };
  }
}

function matches({ id, options }: Override['matcher'], name: string): boolean {
  switch (id) {
    case 'byName':
      return name === options;
    case 'byRegexp':
      return new RegExp(options.replace(/^\/|\/$/g, '')).test(name);
    default:
      throw new Error(`this matcher is not known here: ${id}`);
  }
}

function set(config: Record<string, any>, path: string, value: unknown): void {
  const parts = path.split('.');
  const last = parts.pop()!;
  let at = config;
  for (const part of parts) {
    at = at[part] ??= {};
  }
  at[last] = value;
}

export function configure(frames: DataFrame[], { defaults, overrides }: FieldConfig, theme: GrafanaTheme2): DataFrame[] {
  for (const frame of frames) {
    for (const field of frame.fields) {
      const config: Record<string, any> = { ...structuredClone(defaults), ...field.config };
      const name = getFieldDisplayName(field, frame, frames);
      for (const override of overrides) {
        if (matches(override.matcher, name)) {
          override.properties.forEach(({ id, value }) => set(config, id, structuredClone(value)));
        }
      }
      thresholds(config);
      field.config = config;
    }
  }
  return applyFieldOverrides({
    data: frames,
    fieldConfig: { defaults: {}, overrides: [] },
    fieldConfigRegistry: new Registry(() => []) as unknown as FieldConfigOptionsRegistry,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
}
