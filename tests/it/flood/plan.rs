//! The attacker's requests: the user, the number, the address.
//!
//! The first requests hold one property fixed in turn, so that each limit is reached while many
//! requests run. The rest are random. A user and a number together always use one address, so that
//! an SMS identifies its request.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A country with two series of numbers.
struct CountryNumbers {
    code: &'static str,
    /// A distinct number for each n, few of which share a prefix.
    spread: fn(usize) -> String,
    /// Numbers that share a prefix.
    alike: fn(usize) -> String,
}

const COUNTRIES: [CountryNumbers; 4] = [
    CountryNumbers {
        code: "US",
        spread: |n| north_american(212, n),
        alike: |n| format!("+13125550{:03}", n % 1000),
    },
    CountryNumbers {
        code: "CA",
        spread: |n| north_american(416, n),
        alike: |n| format!("+16045550{:03}", n % 1000),
    },
    CountryNumbers {
        code: "GB",
        spread: |n| format!("+44740{}{:02}{:04}", n % 10, n / 10 % 100, n / 1000),
        alike: |n| format!("+44750000{:04}", n % 10_000),
    },
    CountryNumbers {
        code: "DE",
        spread: |n| format!("+49151{:03}{:05}", n % 1000, n / 1000),
        alike: |n| format!("+49152000{:05}", n % 100_000),
    },
];

/// The countries whose numbers may be linked.
pub(super) const ALLOWED: &str = "US,CA,GB,DE";

fn north_american(area: u32, n: usize) -> String {
    let (exchange, first, rest) = (200 + n % 700, n / 700 % 10, n / 7000);
    format!("+1{area}{exchange}{first}{rest:03}")
}

/// A number of a country that is not allowed.
fn foreign(n: usize) -> String {
    format!("+9198{:03}{:05}", n % 1000, n / 1000)
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct LinkAttempt {
    /// The index of the attacker's user.
    pub(super) user: usize,
    pub(super) number: String,
    /// `None` if the country is not allowed.
    pub(super) country: Option<&'static str>,
    pub(super) ip: IpAddr,
}

/// Collects the requests.
struct FloodPlan {
    asks: Vec<LinkAttempt>,
    users: usize,
}

impl FloodPlan {
    fn add(&mut self, user: usize, number: String, country: &CountryNumbers, ip: Option<IpAddr>) {
        let ip = ip.unwrap_or_else(|| own_address(user, &number));
        let country = Some(country.code);
        self.asks.push(LinkAttempt {
            user,
            number,
            country,
            ip,
        });
    }

    /// A user with few requests so far, and the index of an unused number.
    fn fresh(&self) -> (usize, usize) {
        let n = self.asks.len();
        (n % self.users, n)
    }

    /// Repeats one user, one number, one address and one prefix in turn, with all else different
    /// each time.
    fn hold_one_thing(&mut self, round: usize, share: usize) {
        let country = &COUNTRIES[round % COUNTRIES.len()];
        let (user, _) = self.fresh();
        for _ in 0..share {
            let (_, n) = self.fresh();
            self.add(user, (country.spread)(n), country, None);
        }
        let (_, n) = self.fresh();
        let number = (country.spread)(n);
        for _ in 0..share {
            let (user, _) = self.fresh();
            self.add(user, number.clone(), country, None);
        }
        for _ in 0..share {
            let (user, n) = self.fresh();
            self.add(user, (country.spread)(n), country, Some(one_place(round)));
        }
        for _ in 0..share {
            let (user, n) = self.fresh();
            self.add(user, (country.alike)(n), country, None);
        }
    }

    /// A user and a number out of a few, and sometimes a country that is not allowed.
    fn anything(&mut self) {
        let user = rand::random_range(0..self.users.min(50));
        let n = rand::random_range(0..100);
        if n % 10 == 0 {
            let number = foreign(self.asks.len());
            let ip = own_address(user, &number);
            self.asks.push(LinkAttempt {
                user,
                number,
                country: None,
                ip,
            });
        } else {
            let country = &COUNTRIES[n % COUNTRIES.len()];
            // Beyond the numbers that the other requests use.
            self.add(user, (country.spread)(5_000_000 + n), country, None);
        }
    }
}

/// This many requests by this many users.
pub(super) fn plan(requests: usize, users: usize) -> Vec<LinkAttempt> {
    let asks = Vec::with_capacity(requests);
    let mut plan = FloodPlan { asks, users };
    let share = requests / 36;
    for round in 0..4 {
        plan.hold_one_thing(round, share);
    }
    for _ in 0..4 * share {
        let (user, n) = plan.fresh();
        plan.add(user, (COUNTRIES[0].spread)(n), &COUNTRIES[0], None);
    }
    for _ in 0..8 * share {
        let (user, n) = plan.fresh();
        let country = &COUNTRIES[n % COUNTRIES.len()];
        plan.add(user, (country.spread)(n), country, None);
    }
    while plan.asks.len() < requests {
        plan.anything();
    }
    plan.asks
}

/// The address from which this user requests this number.
fn own_address(user: usize, number: &str) -> IpAddr {
    let mut hasher = DefaultHasher::new();
    (user, number).hash(&mut hasher);
    let [a, b, c, ..] = hasher.finish().to_be_bytes();
    Ipv4Addr::new(100, 64 + a % 64, b, c).into()
}

/// One IPv4 address, or any address of one IPv6 network, which counts as one.
fn one_place(round: usize) -> IpAddr {
    let round = u16::try_from(round).unwrap();
    if round.is_multiple_of(2) {
        Ipv4Addr::new(198, 51, 100, round.to_be_bytes()[1]).into()
    } else {
        let [a, b, c, d]: [u16; 4] = rand::random();
        Ipv6Addr::new(0x2001, 0xdb8, 0, round, a, b, c, d).into()
    }
}

/// The key by which the limit on addresses counts.
pub(super) fn network(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{:x?}", &ip.segments()[..4]),
    }
}
