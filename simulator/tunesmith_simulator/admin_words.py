"""What the admin API is sent and answers about faults, happenings, the clock and the ledger; the client shares it."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat

from tunesmith_simulator.faults import ArmedFault, Fault
from tunesmith_simulator.happenings import AnyHappening
from tunesmith_simulator.ledger import Charge, Entry, Ledger, decimal_text, totals
from tunesmith_simulator.pace import Seconds


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FaultState(_Words):
    """An armed fault and what became of it."""

    number: int
    fault: Fault
    armed_at: AwareDatetime
    looked_at: int
    struck: int
    spent: bool

    @classmethod
    def of(cls, armed: ArmedFault) -> "FaultState":
        """In the words of the API."""
        return cls(
            number=armed.number,
            fault=armed.fault,
            armed_at=armed.armed_at,
            looked_at=armed.looked_at,
            struck=armed.struck,
            spent=armed.spent,
        )


class FaultStates(_Words):
    """All armed faults, spent ones too, in the order in which they were armed."""

    seed: int
    faults: tuple[FaultState, ...]


class HappeningOrder(_Words):
    """Let something happen now, or ``in_seconds`` of the clock."""

    happening: AnyHappening
    in_seconds: Seconds = 0


class Touched(_Words):
    """What a happening touched; nothing while it is only planned."""

    planned_at: AwareDatetime | None = None
    touched: tuple[str, ...] = ()


class HappeningState(_Words):
    """Something that happened or is planned."""

    at: AwareDatetime
    title: str
    touched: tuple[str, ...] | None = None


class HappeningStates(_Words):
    """What happened, oldest first, and what is planned, soonest first."""

    happened: tuple[HappeningState, ...]
    planned: tuple[HappeningState, ...]


class Advance(_Words):
    """Move a virtual clock on."""

    seconds: NonNegativeFloat


class ClockRate(_Words):
    """Let a virtual clock run: its seconds per second on the wall."""

    rate: NonNegativeFloat


class ClockState(_Words):
    """The clock. ``virtual`` ones can be moved."""

    time: AwareDatetime
    virtual: bool
    rate: float


class CertificateOrder(_Words):
    """A client certificate that is valid for so long, on the wall."""

    seconds: float = Field(gt=0)


class ChargeState(_Words):
    """One interval of one object's cost. Numbers of dollars and hours are decimal strings."""

    kind: str
    begins: AwareDatetime = Field(serialization_alias="from", validation_alias="from")
    until: AwareDatetime
    units: int
    usd_per_unit_hour: str
    unit_hours: str
    usd: str
    upfront: bool

    @classmethod
    def of(cls, charge: Charge) -> "ChargeState":
        """In the words of the API."""
        return cls.model_validate(
            {
                "kind": charge.kind,
                "from": charge.begins,
                "until": charge.until,
                "units": charge.units,
                "usd_per_unit_hour": decimal_text(charge.usd_per_unit_hour),
                "unit_hours": decimal_text(charge.unit_hours),
                "usd": decimal_text(charge.usd),
                "upfront": charge.upfront,
            }
        )


class EntryState(_Words):
    """One object's cost so far."""

    kind: str
    object_id: str
    name: str
    project_id: str
    usd: str
    usd_per_hour: str
    intervals: tuple[ChargeState, ...]

    @classmethod
    def of(cls, entry: Entry) -> "EntryState":
        """In the words of the API."""
        return cls(
            kind=entry.kind,
            object_id=entry.object_id,
            name=entry.name,
            project_id=entry.project_id,
            usd=decimal_text(entry.usd),
            usd_per_hour=decimal_text(entry.usd_per_hour),
            intervals=tuple(map(ChargeState.of, entry.charges)),
        )


class LedgerState(_Words):
    """Everything that was charged until ``as_of``."""

    as_of: AwareDatetime
    usd: str
    usd_per_hour: str
    usd_by_kind: dict[str, str]
    objects: tuple[EntryState, ...]

    @classmethod
    def of(cls, book: Ledger) -> "LedgerState":
        """In the words of the API."""
        return cls(
            as_of=book.as_of,
            usd=decimal_text(book.usd),
            usd_per_hour=decimal_text(book.usd_per_hour),
            usd_by_kind={kind: decimal_text(usd) for kind, usd in totals(book).items()},
            objects=tuple(EntryState.of(entry) for entry in book.entries),
        )

    def object(self, object_id: str) -> EntryState:
        """One object's cost. Raises KeyError when there never was such an object."""
        for each in self.objects:
            if each.object_id == object_id:
                return each
        raise KeyError(object_id)
