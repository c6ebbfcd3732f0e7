use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

/// A time in this century.
const START: u64 = 1_800_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn limit(burst: u32, period: u64, max_delay: u64) -> RateLimit {
    RateLimit {
        burst: NonZeroU32::new(burst).unwrap(),
        period: Duration::from_nanos(period),
        max_delay: Duration::from_nanos(max_delay),
    }
}

/// A key under a limit, and the starts of its admitted events.
#[derive(Default)]
struct TestKey {
    arrival: u64,
    starts: Vec<u64>,
}

impl TestKey {
    fn admit(&mut self, limit: &RateLimit, now: u64) -> Decision {
        let decision = Gcra::new(limit).decide(self.arrival, now);
        if let Decision::Admitted { starts_at, arrival } = decision {
            self.arrival = arrival;
            self.starts.push(starts_at);
        }
        decision
    }
}

/// Checks every window: those that begin and end with a start are enough.
fn obeys(mut starts: Vec<u64>, limit: &RateLimit) -> Result<(), TestCaseError> {
    starts.sort_unstable();
    let period = u64::try_from(limit.period.as_nanos()).unwrap();
    for (first, from) in starts.iter().enumerate() {
        for (count, to) in (1u64..).zip(&starts[first..]) {
            let most = u64::from(limit.burst.get()) + (to - from) / period;
            prop_assert!(
                count <= most,
                "{count} starts, not {most}, from {from} to {to}"
            );
        }
    }
    Ok(())
}

/// Limits in whole and odd nanoseconds, with waits from none to some hundred periods.
fn limits() -> impl Strategy<Value = RateLimit> {
    let period = prop_oneof![1..20 * SECOND, (1..20_000u64).prop_map(|ms| ms * 1_000_000)];
    (1..20u32, period, 0..200u64)
        .prop_map(|(burst, period, periods)| limit(burst, period, period * periods))
}

/// The time from one event to the next, in milliseconds: often zero.
fn steps() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0..30_000u64], 1..150)
}

proptest! {
    #[test]
    fn in_every_window_of_any_schedule_the_starts_obey_the_limit(limit in limits(), steps in steps()) {
        let (mut key, mut now) = (TestKey::default(), START);
        for ms in steps {
            now += ms * 1_000_000;
            key.admit(&limit, now);
        }
        obeys(key.starts, &limit)?;
    }

    #[test]
    fn a_clock_that_jumps_back_and_forth_breaks_no_limit(
        limit in limits(),
        steps in prop::collection::vec(-60_000..60_000i64, 1..150),
    ) {
        let (mut key, mut now) = (TestKey::default(), START);
        for ms in steps {
            now = now.checked_add_signed(ms * 1_000_000).unwrap();
            key.admit(&limit, now);
        }
        obeys(key.starts, &limit)?;
    }

    #[test]
    fn a_reservation_is_a_period_after_the_previous_one_and_no_later_than_the_longest_delay(
        limit in limits(),
        steps in steps(),
    ) {
        let (mut key, mut now) = (TestKey::default(), START);
        let period = u64::try_from(limit.period.as_nanos()).unwrap();
        let mut ahead: Option<u64> = None;
        for ms in steps {
            now += ms * 1_000_000;
            match key.admit(&limit, now) {
                Decision::Admitted { starts_at, .. } => {
                    prop_assert!(starts_at >= now && Duration::from_nanos(starts_at - now) <= limit.max_delay);
                    let free = ahead.is_none_or(|last| starts_at >= last + period);
                    prop_assert!(free, "{starts_at} follows {ahead:?}");
                    if starts_at > now {
                        ahead = Some(starts_at);
                    }
                }
                Decision::Refused { starts_at } => {
                    prop_assert!(Duration::from_nanos(starts_at - now) > limit.max_delay);
                }
            }
        }
    }

    #[test]
    fn without_a_delay_it_decides_as_governor_does_in_memory(limit in limits(), steps in steps()) {
        let limit = RateLimit { max_delay: Duration::ZERO, ..limit };
        let quota = Gcra::new(&limit).quota;
        let clock = FakeRelativeClock::default();
        let memory = RateLimiter::direct_with_clock(quota, clock.clone());
        let (mut key, mut now) = (TestKey::default(), START);
        for ms in steps {
            now += ms * 1_000_000;
            clock.advance(Duration::from_millis(ms));
            let wait = match key.admit(&limit, now) {
                Decision::Admitted { .. } => None,
                Decision::Refused { starts_at } => Some(Duration::from_nanos(starts_at - now)),
            };
            let expected = memory.check().err().map(|not_until| not_until.wait_time_from(clock.now()));
            prop_assert_eq!(wait, expected);
        }
    }

    #[test]
    fn after_a_change_of_the_limit_new_starts_obey_the_new_limit(
        old in limits(),
        new in limits(),
        before in steps(),
        after in steps(),
    ) {
        let (mut key, mut now) = (TestKey::default(), START);
        for ms in before {
            now += ms * 1_000_000;
            key.admit(&old, now);
        }
        key.starts.clear();
        for ms in after {
            now += ms * 1_000_000;
            key.admit(&new, now);
        }
        obeys(key.starts, &new)?;
    }

    #[test]
    fn every_decision_stays_within_its_bounds(
        burst in prop_oneof![1..5u32, any::<u32>().prop_map(|burst| burst.max(1))],
        period in any::<Duration>(),
        max_delay in any::<Duration>(),
        mut arrival in any::<u64>(),
        now in prop_oneof![any::<u64>(), START..2 * START],
    ) {
        let limit = RateLimit { burst: NonZeroU32::new(burst).unwrap(), period, max_delay };
        let gcra = Gcra::new(&limit);
        for _ in 0..5 {
            match gcra.decide(arrival, now) {
                Decision::Admitted { starts_at, arrival: next } => {
                    prop_assert!(starts_at >= now.min(END_OF_TIME));
                    prop_assert!(Duration::from_nanos(starts_at - now.min(END_OF_TIME)) <= max_delay);
                    prop_assert!(next > arrival && next <= END_OF_TIME);
                    arrival = next;
                }
                Decision::Refused { starts_at } => prop_assert!(starts_at <= i64::MAX.unsigned_abs()),
            }
        }
    }

    #[test]
    fn a_number_in_the_past_decides_as_no_number_does(
        limit in limits(),
        past in 0..100 * SECOND,
        now in START..START + 100 * SECOND,
    ) {
        let gcra = Gcra::new(&limit);
        prop_assert_eq!(gcra.decide(now - past, now), gcra.decide(0, now));
    }
}

#[test]
fn a_burst_starts_at_once_and_later_events_one_a_period() {
    let limit = limit(3, 10 * SECOND, 20 * SECOND);
    let mut key = TestKey::default();
    for _ in 0..5 {
        key.admit(&limit, START);
    }
    let after = |seconds| START + seconds * SECOND;
    assert_eq!(key.starts, [START, START, START, after(10), after(20)]);
    // A refused event costs nothing.
    for _ in 0..3 {
        let refused = Decision::Refused {
            starts_at: after(30),
        };
        assert_eq!(key.admit(&limit, START), refused);
    }
    key.admit(&limit, after(10));
    assert_eq!(key.starts.last(), Some(&after(30)));
}

#[test]
fn a_period_is_rounded_up_to_whole_microseconds() {
    let period = |nanos| Gcra::new(&limit(1, nanos, 0)).quota.replenish_interval();
    assert_eq!(period(0), Duration::from_micros(1));
    assert_eq!(period(1_000), Duration::from_micros(1));
    assert_eq!(period(1_001), Duration::from_micros(2));
}

#[test]
fn an_endless_period_admits_the_burst_and_no_more() {
    let limit = RateLimit {
        burst: NonZeroU32::new(10).unwrap(),
        period: Duration::MAX,
        max_delay: Duration::from_hours(24),
    };
    let mut key = TestKey::default();
    for _ in 0..100 {
        key.admit(&limit, START);
    }
    assert_eq!(key.starts, [START; 10]);
}
