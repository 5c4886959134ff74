//! The one error type: what it is made from, what it can be asked.

mod common;

use std::error::Error as StdError;
use std::fmt;
use std::io;

use common::{show, spin, text};
use lwt_core::{Abandoned, Canceled, Error, Promise, State, switch, wait};

#[derive(Debug, PartialEq)]
struct Odd(i32);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl StdError for Odd {}

#[test]
fn it_is_made_from_any_error() {
    fn check(n: i32) -> Result<(), Error> {
        if n % 2 == 1 {
            Err(Odd(n))?
        }
        Ok(())
    }
    let error = check(3).unwrap_err();
    assert_eq!(error.downcast_ref::<Odd>(), Some(&Odd(3)));
    assert!(error.downcast_ref::<io::Error>().is_none());
    assert_eq!(error.as_std().to_string(), "3 is odd");
    assert_eq!(error.to_string(), "3 is odd");
    assert!(error.as_std().downcast_ref::<Odd>().is_some());
}

#[test]
fn clones_are_the_same_error() {
    let error = Error::from(Odd(5));
    let clone = error.clone();
    assert!(std::ptr::eq(error.downcast_ref::<Odd>().unwrap(), clone.downcast_ref::<Odd>().unwrap()));
}

#[test]
fn it_crosses_threads() {
    let error = Error::from(Odd(7));
    let there = error.clone();
    let seen = std::thread::spawn(move || there.downcast_ref::<Odd>().unwrap().0).join().unwrap();
    assert_eq!(seen, 7);
    drop(error);
}

/// An error that does not name its source.
#[derive(Debug)]
struct Outer(io::Error);
impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}
impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_source_chain_is_kept() {
    let error = Error::from(Outer(io::Error::from(io::ErrorKind::NotFound)));
    let source = error.as_std().source().expect("a source");
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
    assert_eq!((format!("{error}"), format!("{error:#}")), ("outer".to_owned(), format!("outer: {source}")));
}

#[test]
fn a_source_that_is_named_already_is_not_named_again() {
    #[derive(Debug)]
    struct Call(io::Error);
    impl fmt::Display for Call {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "open: {}", self.0)
        }
    }
    impl StdError for Call {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }
    let error = Error::from(Call(io::Error::from(io::ErrorKind::NotFound)));
    assert_eq!(format!("{error:#}"), format!("{error}"));
}

#[test]
fn all_that_failed_in_a_scope_is_shown_with_its_sources() {
    fn gone() -> Error {
        Outer(io::ErrorKind::NotFound.into()).into()
    }
    let scope = switch::with_switch(async |scope| {
        scope.add_hook(|| Promise::fail(gone()))?;
        Err::<(), _>(gone())
    });
    spin();
    let State::Rejected(error) = scope.state() else { panic!("it has not failed") };
    let expected = format!("{:#}; and then: {:#}", gone(), gone());
    assert_eq!((format!("{error}"), format!("{error:#}")), (expected.clone(), expected));
}

#[test]
fn its_kinds() {
    assert!(Error::canceled().is_canceled());
    assert!(Error::from(Canceled).is_canceled());
    assert!(Error::from(Abandoned).is_abandoned());
    assert!(!Error::canceled().is_abandoned());
    assert!(!Error::msg("x").is_canceled());
    assert_eq!(Error::msg("x").panic_message(), None);
    assert_eq!(Error::msg(format!("{} things", 3)).as_std().to_string(), "3 things");
    assert_eq!(
        Error::from(io::Error::from(io::ErrorKind::TimedOut)).io_kind(),
        Some(io::ErrorKind::TimedOut)
    );
    assert_eq!(Error::msg("x").io_kind(), None);
    assert!(!format!("{:?}", Error::msg("x")).is_empty());
}

#[test]
fn it_knows_where_it_was_made() {
    let made = (Error::msg("here"), line!());
    assert_eq!((made.0.origin().file(), made.0.origin().line()), (file!(), made.1));

    let made = (Error::canceled(), line!());
    assert_eq!((made.0.origin().file(), made.0.origin().line()), (file!(), made.1));

    let made = (Promise::<()>::fail(Odd(1)), line!());
    match made.0.state() {
        State::Rejected(error) => {
            assert_eq!((error.origin().file(), error.origin().line()), (file!(), made.1))
        }
        _ => panic!("rejected"),
    }
}

#[test]
fn the_origin_is_kept_on_the_way() {
    let made = (Error::msg("here"), line!());
    let (p, r) = wait::<i32>();
    let q = p.map(|v| v).bind(Promise::ready);
    r.wakeup_err(made.0);
    match q.state() {
        State::Rejected(error) => assert_eq!(error.origin().line(), made.1),
        _ => panic!("rejected"),
    }
}

#[test]
fn a_panic_carries_its_message() {
    let p = Promise::ready(1).map(|_| -> i32 { panic!("plain") });
    assert_eq!(show(&p), "panic plain");
    let p = Promise::ready(1).map(|n| -> i32 { panic!("formatted {n}") });
    assert_eq!(show(&p), "panic formatted 1");
    let p = Promise::ready(1).map(|_| -> i32 { std::panic::panic_any(5_u8) });
    match p.state() {
        State::Rejected(error) => {
            assert!(
                error.panic_message().is_some(),
                "a payload that is no text still is a panic: {}",
                text(error)
            );
        }
        _ => panic!("rejected"),
    }
}

#[test]
fn from_result() {
    assert_eq!(show(&Promise::from(Ok::<_, Odd>(1))), "ok 1");
    assert_eq!(show(&Promise::from(Err::<i32, _>(Odd(1)))), "error 1 is odd");
    assert_eq!(show(&Promise::from(Err::<i32, Error>(Error::canceled()))), "canceled");
}
