-- Money of an order judged fraudulent never flows to a suspect, whatever the code above believes: a cancel is such
-- a judgement, and always withholds what does not go back to the card. A refund says how much of which currency.
ALTER TABLE ledger.operations ADD CONSTRAINT cancel_withholds
    CHECK (verb <> 'cancel' OR coalesce(body ->> 'refund_policy', '') = 'withhold');
ALTER TABLE ledger.operations ADD CONSTRAINT refund_says_how_much
    CHECK (verb <> 'refund' OR ((body ->> 'amount')::bigint > 0 AND coalesce(body ->> 'currency', '') <> ''
                                AND (body ->> 'amount')::bigint = amount AND body ->> 'currency' = currency));
