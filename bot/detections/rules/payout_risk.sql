/*
name: payout_risk
title:
  ja: 振込先口座の不審な点
  en: Something is odd about a payout account
source: market
subject: account
severity: P1
owner: fraud
schedule: {every: 60s}
window: 30d
overlap: 10m
mode: review
parameters:
  amount:
    default: 50000
    ja: 口座の変更後すぐに振り込まれる金額がこれ以上なら検知します(通貨の最小単位)
    en: Finds this much paid out soon after a change of the account (in the currency's smallest unit)
  soon:
    default: 72h
    ja: 口座の変更からこの期間内の振込を調べます
    en: Looks at payouts this long after the change
actions: [hold, suspend]
evidence:
  risks:
    ja: 不審な点
    en: What is odd
    type: text
    words:
      shared: {ja: 複数のアカウントが同じ口座を使っている, en: several accounts use one payout account}
      name: {ja: 口座名義が登録氏名と違う, en: its holder is not who the account is registered to}
      changed: {ja: 変更直後に高額の振込がある, en: much is paid out just after it was changed}
  accounts_sharing: {ja: 同じ口座のアカウント, en: Accounts with this payout account, type: count}
  payee: {ja: 口座名義(カナ), en: Holder of the payout account, type: text, mask: name}
  registered_as: {ja: 登録氏名(カナ), en: Registered name, type: text, mask: name}
  changed_at: {ja: 口座の変更日時, en: Payout account changed, type: time}
  paid_out_soon: {ja: 変更後の振込額, en: Paid out after the change, type: money}
runbook:
  ja:
    - 振込を保留し、同じ口座を使うほかのアカウントの取引を確かめます。
    - 変更前の連絡先で本人に、口座を変えたかを確認します。
    - 夫婦の口座、法人名義、結婚による改姓などと分かる場合は「問題なし」を選びます。
  en:
    - Hold the payouts, and look what the other accounts with the same payout account sell and buy.
    - Ask the owner, by the contact from before the change, whether they changed it.
    - If it is a couple's account, a company's name or a new name after marriage, choose "Not fraud".
false_positives:
  ja:
    - 夫婦や共同制作の口座
    - 法人や屋号の名義
    - 結婚などによる改姓
  en:
    - An account that a couple or a studio shares
    - The name of a company or a shop
    - A new name after marriage
daily_cap: 100
*/
-- Accounts that changed, and sellers of orders that changed: the money of an order is set to be paid out later.
WITH touched AS MATERIALIZED (
    SELECT account_id, true AS itself FROM accounts
     WHERE updated_at >= :changed_since AND updated_at >= :window_start
     UNION ALL
    SELECT DISTINCT o.seller_id, false FROM orders o JOIN accounts a ON a.account_id = o.seller_id
     WHERE o.updated_at >= :changed_since AND coalesce(a.payout_changed_at, a.created_at) >= :window_start - :soon
),
payees AS MATERIALIZED (
    SELECT a.account_id, bool_or(t.itself) AS itself, a.payout_account_hash, a.payout_name_kana, a.full_name_kana,
           a.payout_changed_at, coalesce(a.payout_changed_at, a.created_at) AS since, a.updated_at
      FROM touched t
      JOIN accounts a USING (account_id)
     WHERE a.status = 'active' AND a.account_id <> ALL (:allow_accounts)
     GROUP BY a.account_id, a.payout_account_hash, a.payout_name_kana, a.full_name_kana, a.payout_changed_at,
              a.created_at, a.updated_at
),
-- Names as a bank writes them: katakana, none of them small, without marks; in either order of their parts.
spelled AS MATERIALIZED (
    SELECT p.account_id, n.whose, string_agg(part, '' ORDER BY at) AS plain, string_agg(part, '' ORDER BY part) AS sorted
      FROM payees p
     CROSS JOIN LATERAL (VALUES ('payee', p.payout_name_kana), ('owner', p.full_name_kana)) AS n(whose, raw)
     CROSS JOIN LATERAL regexp_split_to_table(
        translate(upper(normalize(n.raw, NFKC)),
                  'ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとどなにぬねのはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろゎわゐゑをんゔゕゖァィゥェォッャュョヮヵヶヲ',
                  'アアイイウウエエオオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂツツヅテデトドナニヌネノハバパヒビピフブプヘベペホボポマミムメモヤヤユユヨヨラリルレロワワヰヱオンヴカケアイウエオツヤユヨワカケオ'), '[\s・.,]+')
        WITH ORDINALITY AS parts(written, at)
     CROSS JOIN LATERAL (SELECT regexp_replace(written, '[^ア-ン]', '', 'g') AS part) AS letters
     -- A company's name (its form stands in a bracket) is no person's; neither can letters be compared with kana.
     WHERE normalize(n.raw, NFKC) !~ '[()A-Za-z]'
     GROUP BY 1, 2
),
-- Whoever else has the same payout account.
sharing AS MATERIALIZED (
    SELECT p.account_id, array_agg(b.account_id ORDER BY b.created_at, b.account_id) AS ids
      FROM payees p
      JOIN accounts b ON b.payout_account_hash = p.payout_account_hash
     WHERE p.itself AND b.status <> 'closed' AND b.account_id <> ALL (:allow_accounts)
     GROUP BY 1 HAVING count(*) > 1
),
misnamed AS MATERIALIZED (
    SELECT p.account_id
      FROM payees p
      JOIN spelled payee ON payee.account_id = p.account_id AND payee.whose = 'payee'
      JOIN spelled owner ON owner.account_id = p.account_id AND owner.whose = 'owner'
     WHERE payee.plain <> '' AND owner.plain <> ''
       AND payee.plain <> owner.plain AND payee.sorted <> owner.sorted
       AND p.since >= :window_start - :soon
       -- Before anything was sold there is nothing to be paid out.
       AND EXISTS (SELECT FROM orders o
                    WHERE o.seller_id = p.account_id AND o.paid_at IS NOT NULL AND o.status <> 'canceled')
),
hurried AS MATERIALIZED (
    SELECT DISTINCT ON (p.account_id) p.account_id, o.currency,
           sum(o.total_amount - coalesce(o.discount_amount, 0)) AS paid_out
      FROM payees p
      JOIN orders o ON o.seller_id = p.account_id AND o.status <> 'canceled'
       AND o.payout_at >= p.payout_changed_at AND o.payout_at <= p.payout_changed_at + :soon
     WHERE p.payout_changed_at >= :window_start - :soon
     GROUP BY p.account_id, o.currency
    HAVING sum(o.total_amount - coalesce(o.discount_amount, 0)) >= :amount
     ORDER BY p.account_id, paid_out DESC, o.currency
),
odd AS MATERIALIZED (
    SELECT p.*, s.ids, h.paid_out, h.currency,
           array_remove(ARRAY[CASE WHEN s.ids IS NOT NULL THEN 'shared' END,
                              CASE WHEN m.account_id IS NOT NULL THEN 'name' END,
                              CASE WHEN h.paid_out IS NOT NULL THEN 'changed' END], NULL) AS risks,
           coalesce(s.ids, ARRAY[p.account_id]) AS everybody
      FROM payees p
      LEFT JOIN sharing s USING (account_id)
      LEFT JOIN misnamed m USING (account_id)
      LEFT JOIN hurried h USING (account_id)
     WHERE s.ids IS NOT NULL OR m.account_id IS NOT NULL OR h.paid_out IS NOT NULL
)
-- One finding a payout account and what is odd about it; of several sharing one the oldest stands for them.
SELECT DISTINCT ON (subject_id, window_key)
       o.everybody[1] AS subject_id, coalesce(o.payout_changed_at, o.updated_at) AS occurred_at,
       o.paid_out AS amount, o.currency,
       array_to_string(o.risks, ' ') || ' ' || left(md5(coalesce(o.payout_account_hash, o.account_id)), 12) AS window_key,
       o.everybody[1:100] AS account_ids,
       ARRAY(SELECT d.order_id FROM orders d
              WHERE d.seller_id = ANY (o.everybody[1:100]) AND d.status <> 'canceled'
                AND (d.payout_at IS NULL OR d.payout_at > :now)
              ORDER BY d.total_amount DESC, d.order_id LIMIT 50) AS order_ids,
       o.risks, cardinality(o.ids) AS accounts_sharing,
       CASE WHEN 'name' = ANY (o.risks) THEN o.payout_name_kana END AS payee,
       CASE WHEN 'name' = ANY (o.risks) THEN o.full_name_kana END AS registered_as,
       o.payout_changed_at AS changed_at, o.paid_out AS paid_out_soon
  FROM odd o
 ORDER BY subject_id, window_key, o.paid_out DESC NULLS LAST, o.account_id
