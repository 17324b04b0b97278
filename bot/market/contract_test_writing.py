"""What the contract test does to the subjects that it was given: round trips first, then what is final."""

from __future__ import annotations

from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.market.contract_probe import AT_ONCE, ContractProbe, Params, Sent, refusal_of
from bot.market.contract_shapes import PlanShape, ProblemShape
from bot.market.contract_test import REASON, Check, Disobedience, Untold


class RoundTrip:
    """A verb and the one that undoes it, on one subject that is left as it was."""

    def __init__(self, probe: ContractProbe, there: Verb, back: Verb) -> None:
        self._probe = probe
        self._there = there
        self._back = back
        self._subject: Subject | None = None
        self._sent: Sent | None = None
        self._undone: Sent | None = None
        self._refused: tuple[str, ProblemShape] | None = None

    def checks(self) -> list[Check]:
        there, back = self._there, self._back
        with_key = self._probe.capability(there).idempotency == "key"
        found = self._probe.capability(there).idempotency in {"key", "lookup"}
        checks: list[Check] = [
            Check(f"{there}: a subject to try it on", self._choose, vital=True),
            Check(f"{there}: no key, no reason", self._refused_outright),
            Check(f"{there}: a made-up plan token", self._made_up_token),
            Check(f"{there}: carried out as planned", self._carry_out, vital=True),
        ]
        if found:
            checks.append(Check(f"{there}: found by its key", self._found))
        if with_key:
            checks.append(Check(f"{there}: the same key and body again", self._same_key))
            checks.append(Check(f"{there}: the same key with another body", self._other_body))
        checks.append(Check(f"{there}: a second time is refused", self._refuse))
        checks.append(Check(f"{back}: undoes it", self._undo, vital=True))
        if self._probe.capability(back).idempotency == "key":
            checks.append(Check(f"{back}: the same key and body again", self._same_key_back))
        if with_key:
            checks.append(Check(f"{there}: a refusal is kept", self._refusal_kept))
            checks.append(Check(f"{there}: {AT_ONCE} times at once", self._race))
        if found:
            checks.append(Check(f"{there}: a lost answer", self._lost_answer))
        checks.append(Check(f"{there}: all is as it was", self._tidy_up, always=True))
        return checks

    async def _choose(self) -> str:
        self._subject, _ = await self._probe.choose(self._there, {})
        return self._subject.id

    @property
    def _on(self) -> Subject:
        if self._subject is None:
            raise Untold("there is no subject to try it on")
        return self._subject

    async def _refused_outright(self) -> None:
        await self._probe.check_refused_outright(self._there, self._on, {})

    async def _made_up_token(self) -> None:
        await self._probe.check_token(
            self._there, self._on, REASON, "mimawari-made-up-token", "a made-up plan token"
        )

    async def _carry_out(self) -> str:
        await self._tidy_up()
        plan = await self._probe.plan(self._there, self._on, {})
        body = {**REASON, "plan_token": plan.plan_token}
        self._sent = await self._probe.carry_out(self._there, self._on, body)
        await self._expect_plans(there=False, back=True)
        return self._sent.operation.state

    @property
    def _done(self) -> Sent:
        if self._sent is None:
            raise Untold("it was not carried out")
        return self._sent

    async def _found(self) -> None:
        await self._probe.check_found(self._done)

    async def _same_key(self) -> None:
        await self._probe.check_same_key(self._done)

    async def _other_body(self) -> None:
        await self._probe.check_other_body(self._done)

    async def _refuse(self) -> str:
        self._refused = await self._probe.check_refusal(self._there, self._on, {})
        return self._refused[1].code

    async def _undo(self) -> None:
        plan = await self._probe.plan(self._back, self._on, {})
        body = {**REASON, "plan_token": plan.plan_token}
        self._undone = await self._probe.carry_out(self._back, self._on, body)
        await self._expect_plans(there=True, back=False)

    async def _same_key_back(self) -> None:
        if self._undone is None:
            raise Untold("it was not undone")
        await self._probe.check_same_key(self._undone)

    async def _refusal_kept(self) -> None:
        if self._refused is None:
            raise Untold("there was no refusal")
        key, problem = self._refused
        await self._probe.check_refusal_kept(self._there, self._on, {}, key, problem)

    async def _race(self) -> None:
        await self._tidy_up()
        await self._probe.check_race(self._there, self._on, REASON)

    async def _lost_answer(self) -> str:
        await self._tidy_up()
        return await self._probe.check_lost_answer(self._there, self._on)

    async def _tidy_up(self) -> None:
        """Undo what a failed check has left behind, so that it does not fail the next one."""
        plan = await self._probe.plan(self._back, self._on, {})
        if plan.allowed:
            await self._probe.carry_out(self._back, self._on, REASON)

    async def _expect_plans(self, *, there: bool, back: bool) -> None:
        for verb, wanted in ((self._there, there), (self._back, back)):
            plan = await self._probe.plan(verb, self._on, {})
            if plan.allowed is not wanted:
                state = "still allows" if plan.allowed else f"refuses ({refusal_of(plan)})"
                raise Disobedience(f"afterwards the plan {state} {verb}: its state did not change")


class OneWay:
    """A verb that cannot be undone, once, on a subject that is given up for it."""

    def __init__(self, probe: ContractProbe, verb: Verb) -> None:
        self._probe = probe
        self._verb = verb
        self._subject: Subject | None = None
        self._plan: PlanShape | None = None
        self._sent: Sent | None = None
        self._params: Params = probe.params(verb)

    def checks(self) -> list[Check]:
        verb = self._verb
        idempotency = self._probe.capability(verb).idempotency
        checks: list[Check] = [
            Check(f"{verb}: a subject to try it on", self._choose, vital=True),
            Check(f"{verb}: no key, no reason", self._refused_outright),
        ]
        if verb is Verb.REFUND:
            checks.append(Check("refund: more than is left", self._too_much))
            checks.append(Check("refund: the plan of another amount", self._other_amount))
        if verb is Verb.CANCEL and self._probe.offers(Verb.REFUND):
            checks.append(Check("cancel: a plan that is out of date", self._stale))
        checks.append(Check(f"{verb}: carried out as planned", self._carry_out, vital=True))
        if idempotency in {"key", "lookup"}:
            checks.append(Check(f"{verb}: found by its key", self._found))
        if idempotency == "key":
            checks.append(Check(f"{verb}: the same key and body again", self._same_key))
            checks.append(Check(f"{verb}: the same key with another body", self._other_body))
        if verb is Verb.CANCEL:
            checks.append(Check("cancel: a second time is refused", self._refuse))
        return checks

    async def _choose(self) -> str:
        self._subject, self._plan = await self._probe.choose(self._verb, self._params)
        if self._verb is Verb.REFUND:
            if self._plan.currency is None or self._plan.refund_amount < 3:
                raise Untold("give an --order of which at least 3 can be given back")
            amount = max(1, self._plan.refund_amount // 10)
            self._params = {"amount": amount, "currency": self._plan.currency}
        return self._subject.id

    @property
    def _on(self) -> Subject:
        if self._subject is None:
            raise Untold("there is no subject to try it on")
        return self._subject

    async def _refused_outright(self) -> None:
        await self._probe.check_refused_outright(self._verb, self._on, self._params)

    async def _too_much(self) -> str:
        params = {**self._params, "amount": 10**12}
        plan = await self._probe.plan(self._verb, self._on, {"amount": 10**12})
        if plan.allowed:
            raise Disobedience(f"the plan allows a refund of {10**12}")
        _, problem = await self._probe.check_refusal(self._verb, self._on, params)
        return problem.code

    async def _other_amount(self) -> None:
        amount = int(self._params["amount"])
        plan = await self._probe.plan(self._verb, self._on, {"amount": amount})
        body = {**REASON, **self._params, "amount": amount + 1}
        await self._probe.check_token(
            self._verb, self._on, body, plan.plan_token, "the plan of another amount"
        )

    async def _stale(self) -> None:
        """A small refund changes what the cancellation would give back, so its plan is out of date."""
        plan = await self._probe.plan(Verb.CANCEL, self._on, self._params)
        left = await self._probe.plan(Verb.REFUND, self._on, {})
        if not left.allowed or left.refund_amount < 2 or left.currency is None:
            raise Untold(f"nothing of {self._on.id} can be refunded, so its plan cannot change")
        refund = {**REASON, "amount": 1, "currency": left.currency}
        await self._probe.carry_out(Verb.REFUND, self._on, refund)
        await self._probe.check_token(
            Verb.CANCEL, self._on, {**REASON, **self._params}, plan.plan_token, "a plan out of date"
        )

    async def _carry_out(self) -> str:
        plan = await self._probe.plan(self._verb, self._on, self._params)
        body = {**REASON, **self._params, "plan_token": plan.plan_token}
        self._sent = await self._probe.carry_out(self._verb, self._on, body)
        return self._sent.operation.state

    @property
    def _done(self) -> Sent:
        if self._sent is None:
            raise Untold("it was not carried out")
        return self._sent

    async def _found(self) -> None:
        await self._probe.check_found(self._done)

    async def _same_key(self) -> None:
        await self._probe.check_same_key(self._done)

    async def _other_body(self) -> None:
        await self._probe.check_other_body(self._done)

    async def _refuse(self) -> str:
        plan = await self._probe.plan(self._verb, self._on, self._params)
        if plan.allowed:
            raise Disobedience("afterwards its plan still allows it: its state did not change")
        _, problem = await self._probe.check_refusal(self._verb, self._on, self._params)
        return problem.code
