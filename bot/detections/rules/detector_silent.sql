/*
name: detector_silent
title:
  ja: 検知が普段と違って何も見つけていない
  en: A detection finds nothing, unlike before
source: ledger
subject: detection
severity: P3
owner: fraud
schedule: {every: 30m}
window: 28d
overlap: 0s
mode: review
parameters:
  silence:
    default: 24h
    ja: 少なくともこの期間何も見つけていなければ調べます
    en: Looks at detections that found nothing for at least this long
  missed:
    default: 10
    ja: 28日間の平均からみて、この件数以上が見つかっていたはずなら知らせます
    en: Tells when by the mean of 28 days this many should have been found
  pauses:
    default: 2
    ja: これまでで最も長い空白のこの倍数以上の場合に限ります
    en: Only at this many times the longest pause that it had before
actions: []
evidence:
  findings_before: {ja: それまでの28日間の検知, en: Findings in the 28 days before, type: count}
  expected: {ja: その間に見つかっていたはずの件数, en: How many it should have found since, type: count}
  silent_hours: {ja: 何も見つけていない時間, en: Hours of silence, type: count}
  longest_pause_hours: {ja: これまでで最も長い空白(時間), en: Longest pause before in hours, type: count}
  last_found_at: {ja: 最後に見つけた日時, en: Last finding, type: time}
runbook:
  ja:
    - マーケットの列が空になっていないか、表示条件が変わっていないかを rules check で確かめます。
    - 例(.test.yml)を rules test で動かし、検知そのものが壊れていないかを確かめます。
    - 対策が効いて不正が減ったと分かる場合は「問題なし」を選びます。
  en:
    - See with rules check whether columns of the marketplace have become empty or are missing.
    - Run its examples with rules test, to see whether the detection itself is broken.
    - If the fraud has stopped because something was done against it, choose "Not fraud".
false_positives:
  ja:
    - 対策が効いて、その手口がなくなった
    - 一度の大きな波だけで平均が高くなっている
    - 連休などで取引そのものが少ない
  en:
    - Something was done against it, and the trick is gone
    - A single large wave that lifts the mean
    - Holidays, with hardly any orders
daily_cap: 100
*/
-- What each detection found in the 28 days before its last finding, by the market's clock.
WITH found AS (
    SELECT f.detection, f.found_at, max(f.found_at) OVER (PARTITION BY f.detection) AS last_at,
           f.found_at - lag(f.found_at) OVER (PARTITION BY f.detection ORDER BY f.found_at) AS pause
      FROM findings f
     -- A finding that a baseline hid was found all the same.
     WHERE f.found_at > :now - 2 * interval '28 days' AND f.found_at <= :now
),
rhythm AS (
    SELECT detection, last_at, count(*) AS n, max(pause) AS longest, min(found_at) AS first_at
      FROM found
     WHERE found_at > last_at - interval '28 days'
     GROUP BY detection, last_at
),
-- By the time that it has been known, a week at least: a wave on the first day is no mean.
judged AS (
    SELECT r.*, :now - r.last_at AS silence,
           r.n * extract(epoch FROM :now - r.last_at)
             / extract(epoch FROM greatest(r.last_at - r.first_at, interval '7 days')) AS expected
      FROM rhythm r
)
SELECT j.detection AS subject_id, :now AS occurred_at,
       to_char(j.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') AS window_key,
       j.n AS findings_before, floor(j.expected)::bigint AS expected,
       floor(extract(epoch FROM j.silence) / 3600)::bigint AS silent_hours,
       floor(extract(epoch FROM j.longest) / 3600)::bigint AS longest_pause_hours, j.last_at AS last_found_at
  FROM judged j
  -- One that does not run is silent for another reason, which query_stale tells.
  JOIN ticks t ON t.detection = j.detection AND t.due_at < :now + interval '100 years' AND NOT t.failed AND t.watermark > j.last_at
 WHERE j.silence >= :silence AND j.expected >= :missed AND j.silence >= :pauses * j.longest
 ORDER BY j.detection
