"""What Grafana's published schema of a dashboard (kinds/dashboard in its repository) says of the parts that we write.

Closed where Grafana's is closed, so that a field that it does not know is an error, and open where it is open.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

UInt16 = Annotated[int, Field(ge=0, lt=2**16)]
UInt32 = Annotated[int, Field(ge=0, lt=2**32)]
CORE_PANELS = Literal["timeseries", "table", "state-timeline", "bargauge"]
"""Of the panels that come with Grafana those that we use; any other word would ask for a plugin."""


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class DataSourceRef(Closed):
    type: Literal["prometheus"]
    uid: str


class GridPos(Closed):
    h: Annotated[int, Field(gt=0)]
    w: Annotated[int, Field(gt=0, le=24)]
    x: Annotated[int, Field(ge=0, lt=24)]
    y: UInt32


class FieldDefaults(Closed):
    unit: str
    min: float | None = None
    max: float | None = None


class FieldConfig(Closed):
    defaults: FieldDefaults
    overrides: list[dict[str, Any]]


class PrometheusQuery(Closed):
    """The query of Grafana's Prometheus data source."""

    refId: Annotated[str, Field(pattern="^[A-Z]$")]
    datasource: DataSourceRef
    expr: Annotated[str, Field(min_length=1)]
    legendFormat: str
    instant: bool
    range: bool
    format: Literal["time_series", "table", "heatmap"]


class Panel(Closed):
    id: Annotated[int, Field(gt=0, lt=2**32)]
    type: CORE_PANELS
    title: Annotated[str, Field(min_length=1)]
    description: str
    datasource: DataSourceRef
    gridPos: GridPos
    fieldConfig: FieldConfig
    options: dict[str, Any]
    targets: Annotated[list[PrometheusQuery], Field(min_length=1)]


class VariableOption(Closed):
    text: str | list[str]
    value: str | list[str]
    selected: bool | None = None


class Variable(Open):
    name: Annotated[str, Field(pattern="^[a-z]+$")]
    type: Literal["query", "adhoc", "constant", "datasource", "interval", "textbox", "custom", "system"]
    label: str
    hide: Literal[0, 1, 2]
    query: str | dict[str, Any]
    datasource: DataSourceRef | None = None
    current: VariableOption | None = None
    options: list[VariableOption] = []


class Annotation(Open):
    name: str
    datasource: DataSourceRef
    enable: bool
    hide: bool
    iconColor: str


class Variables(Closed):
    list: list[Variable]


class Annotations(Closed):
    list: list[Annotation]


class Span(Closed):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    since: str = Field(alias="from")
    to: str


class GrafanaDashboard(Closed):
    uid: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,40}$")]
    title: Annotated[str, Field(min_length=1)]
    tags: list[str]
    schemaVersion: UInt16
    version: UInt32
    editable: bool
    graphTooltip: Literal[0, 1, 2]
    refresh: Annotated[str, Field(pattern="^[0-9]+[smhd]$")]
    time: Span
    timezone: Literal["browser", "utc"]
    templating: Variables
    annotations: Annotations
    links: list[dict[str, Any]]
    panels: list[Panel]
