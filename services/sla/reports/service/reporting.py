"""The life of performance reports: scheduled, drafted, published, acknowledged."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.sla.metrics.domain.windows import parse_period
from services.sla.metrics.schemas import as_document
from services.sla.reports import policy, queries
from services.sla.reports.domain import (
    REPORT,
    ReportAction,
    ReportState,
    acknowledgement_due,
    check_causes,
    check_commented,
    check_period_over,
)
from services.sla.reports.models import Report, ReportResult
from services.sla.reports.schemas import ReportAcknowledge, ReportCommentary, ReportPublish
from services.sla.reports.service.scheduling import ACKNOWLEDGEMENT, PUBLICATION
from services.sla.results.domain.result import RESULT_FORMAT, Result, SetHash, result_text
from services.sla.results.domain.verdict import ResultStatus
from services.sla.results.service import as_line, calendar_of, compute_all
from services.sla.slas.models import Sla
from shared.calendars.fiscal import bounds
from shared.contracts.governance import Party
from shared.contracts.sla import MetricMissed, ReportAcknowledged, ReportDrafted, ReportPublished
from shared.data.history import Act, record
from shared.data.session import inherited, load, load_for_update
from shared.pure.hashing import sha256_hex
from shared.pure.refusal import Missing, checking_input
from shared.runtime.due import clear, just_after, schedule
from shared.web.authz import Principal, require


async def get(session: AsyncSession, caller: Principal, report_id: UUID) -> Report:
    """The report with its lines, as the caller may see it."""
    return await _with_lines(session, caller, await load(session, Report, report_id))


async def get_text(session: AsyncSession, caller: Principal, report_id: UUID) -> Report:
    """The report with the text its hash is of; `Missing` before there is one, and for others while it is a draft."""
    report = await queries.with_result_text(session, report_id)
    if report is None or _is_kept_back(report, caller):
        raise Missing("result text")
    return report


async def draft(
    session: AsyncSession, caller: Principal, report_id: UUID, expected: int, now: datetime
) -> Report:
    """Compute the lines, or compute them anew: causes given earlier stay with their metric."""
    report = await load_for_update(session, Report, report_id, expected)
    require(caller, policy.DRAFT_REPORT, report.scope)
    report.state = REPORT.next(report.state, ReportAction.draft)
    sla = await load(session, Sla, report.sla_id)
    period = parse_period(report.period)
    check_period_over(bounds(period, report.zone)[1], now)
    computed = await compute_all(session, sla, period, now)
    for line in computed:
        check_period_over(line.window.end, now)
    await _replace_lines(session, report, computed, now)
    report.drafted_at = now
    report.observation_hash = _observed(computed)
    report.result_text = result_text(computed)
    report.result_format = RESULT_FORMAT
    report.result_hash = sha256_hex(report.result_text)
    event = ReportDrafted(
        report_id=report.id,
        sla_id=report.sla_id,
        number=report.number,
        period=report.period,
        result_hash=report.result_hash,
    )
    await record(session, report, Act(policy.DRAFT_REPORT.name, event), by=caller, now=now)
    return await _with_lines(session, caller, report)


async def comment(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    form: ReportCommentary,
    expected: int,
    now: datetime,
) -> Report:
    """Set the summary and the causes that are given; what is not given stays."""
    report = await load_for_update(session, Report, report_id, expected)
    require(caller, policy.COMMENT_REPORT, report.scope)
    if form.summary is None and not form.causes:
        return await _with_lines(session, caller, report)
    report.state = REPORT.next(report.state, ReportAction.comment)
    lines = await queries.lines(session, report.id)
    with checking_input():
        check_commented([line.metric_key for line in lines], form.causes)
    for line in lines:
        line.cause = form.causes.get(line.metric_key, line.cause)
    if form.summary is not None:
        report.summary = form.summary
    action, detail = policy.COMMENT_REPORT.name, {"causes": dict(form.causes)}
    await record(session, report, Act(action, detail=detail), by=caller, now=now)
    return await _with_lines(session, caller, report)


async def publish(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    form: ReportPublish,
    expected: int,
    now: datetime,
) -> Report:
    """Publish for good. The customer's time to answer starts, and each miss becomes an event."""
    report = await load_for_update(session, Report, report_id, expected)
    require(caller, policy.PUBLISH_REPORT, report.scope)
    report.state = REPORT.next(report.state, ReportAction.publish)
    lines = await queries.lines(session, report.id)
    check_causes([(line.metric_key, line.status, line.cause) for line in lines])
    sla = await load(session, Sla, report.sla_id)
    calendar = await calendar_of(session, sla)
    report.attestation = form.attestation
    report.published_at, report.published_by = now, caller.member_id
    report.publisher_name = caller.display_name
    report.acknowledge_due = acknowledgement_due(now, calendar, sla.acknowledge_within_business_days)
    await clear(session, PUBLICATION, report)
    await schedule(
        session, ACKNOWLEDGEMENT, report, report.acknowledge_due, just_after(report.acknowledge_due)
    )
    for line in lines:
        line.visibility, line.updated_at = report.visibility, now
    event = _published(report, lines, now, report.acknowledge_due)
    await record(session, report, Act(policy.PUBLISH_REPORT.name, event), by=caller, now=now)
    await _record_misses(session, caller, report, lines, now)
    return await _with_lines(session, caller, report)


async def acknowledge(
    session: AsyncSession,
    caller: Principal,
    report_id: UUID,
    form: ReportAcknowledge,
    expected: int,
    now: datetime,
) -> Report:
    """The customer has received the report and disputes nothing; that waives nothing."""
    report = await load_for_update(session, Report, report_id, expected)
    require(caller, policy.ACKNOWLEDGE_REPORT, report.scope)
    report.state = REPORT.next(report.state, ReportAction.acknowledge)
    report.acknowledged_at, report.acknowledged_by = now, caller.member_id
    report.acknowledger_name, report.remarks = caller.display_name, form.remarks
    await clear(session, ACKNOWLEDGEMENT, report)
    event = ReportAcknowledged(
        report_id=report.id, sla_id=report.sla_id, number=report.number, acknowledged_at=now
    )
    await record(session, report, Act(policy.ACKNOWLEDGE_REPORT.name, event), by=caller, now=now)
    return await _with_lines(session, caller, report)


async def _with_lines(session: AsyncSession, caller: Principal, report: Report) -> Report:
    """Row-level security keeps a draft's lines from the customer; its summary is kept back here."""
    set_committed_value(report, "results", await queries.lines(session, report.id))
    if _is_kept_back(report, caller):
        set_committed_value(report, "summary", "")
    return report


def _is_kept_back(report: Report, caller: Principal) -> bool:
    """Until publication what a report says is the provider's own affair."""
    return report.state is ReportState.drafted and caller.party(report.scope) is not Party.provider


async def _replace_lines(
    session: AsyncSession, report: Report, computed: list[Result], now: datetime
) -> None:
    causes = {line.metric_key: line.cause for line in await queries.lines(session, report.id)}
    await session.execute(delete(ReportResult).where(ReportResult.report_id == report.id))
    for position, line in enumerate(computed):
        row = ReportResult(
            **inherited(report, now) | {"visibility": Party.provider.value},
            **as_line(line),
            report_id=report.id,
            position=position,
            aggregation=line.metric.rule.aggregation,
            definition=as_document(line.metric),
            comparator=line.metric.comparator,
            cause=causes.get(line.metric.key, ""),
        )
        session.add(row)
    await session.flush()


def _observed(results: list[Result]) -> str:
    observed = SetHash()
    for result in results:
        observed.add(result.observation_hash)
    return observed.hexdigest()


def _published(report: Report, lines: list[ReportResult], now: datetime, due: datetime) -> ReportPublished:
    return ReportPublished(
        report_id=report.id,
        sla_id=report.sla_id,
        number=report.number,
        title=report.title,
        period=report.period,
        result_hash=report.result_hash or "",
        metrics_met=sum(line.status is ResultStatus.met for line in lines),
        metrics_missed=sum(line.status.missed_level is not None for line in lines),
        published_at=now,
        acknowledge_due=due,
    )


async def _record_misses(
    session: AsyncSession, caller: Principal, report: Report, lines: list[ReportResult], now: datetime
) -> None:
    for line in lines:
        level = line.status.missed_level
        if level is None:
            continue
        event = MetricMissed(
            result_id=line.id,
            report_id=report.id,
            sla_id=report.sla_id,
            metric_key=line.metric_key,
            metric_name=line.metric_name,
            service=line.service,
            period=line.window_label,
            level=level,
            value=line.value,
            expected=line.expected,
            minimum=line.minimum,
            unit=line.unit,
        )
        await record(session, line, Act("report.miss", event), by=caller, now=now)
