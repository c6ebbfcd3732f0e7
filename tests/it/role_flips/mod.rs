//! The database changes its role, refuses writes or goes silent while connections to it stay open.
//! No connection stays on a server that cannot be written to, and no wait is without end.
//!
//! A few rounds run with the other tests. `ROLE_FLIPS=20 script/test -p pigeonhole --test it
//! role_flips::` runs more, and requires that everything works again within 5 s.

mod harness;
mod read_only;
mod silent;
mod switching_proxy;
mod turned;
