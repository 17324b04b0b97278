-- What needs two people: resuming, policy changes, reviews after a break-glass.

-- The outbox also carries notices: what is told beside the cases. One that changed is drawn anew.
ALTER TABLE ledger.posts DROP CONSTRAINT posts_kind_check;
ALTER TABLE ledger.posts
    ADD CHECK (kind IN ('story', 'roll_up', 'notice')),
    ADD COLUMN revision integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN ledger.posts.revision IS 'Moves when a notice must look different; a publisher that drew an older one draws again';
