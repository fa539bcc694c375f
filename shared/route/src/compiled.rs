//! The form in which the build compiles the routes into the functions. They were checked before, so reading them checks nothing.
//!
//! One value behind the other: a number in four bytes, a text or a list as its length and what it holds, an enum as the number of
//! its variant and what that holds.

use std::collections::BTreeMap;

use crate::customer::CustomerAttribute;
use crate::destination::Destination;
use crate::lookup::{Lookup, PathPart, Place};
use crate::routes::{CustomerSource, EventPattern, Field, FieldValue, Route, Routes};
use json::Pointer;

impl Routes {
    /// What [`from_compiled`](Self::from_compiled) reads.
    pub fn compile(&self) -> Vec<u8> {
        let mut compiled = Vec::new();
        self.write(&mut compiled);
        compiled
    }

    /// # Panics
    /// `compiled` is not what [`compile`](Self::compile) of this very version wrote.
    pub fn from_compiled(mut compiled: &'static [u8]) -> Self {
        let routes = Self::read(&mut compiled);
        assert!(compiled.is_empty(), "{WRITTEN_HERE}");
        routes
    }
}

const WRITTEN_HERE: &str = "the build wrote the routes by the same code";

trait Compiled {
    fn write(&self, to: &mut Vec<u8>);
    fn read(from: &mut &'static [u8]) -> Self;
}

macro_rules! compiled_struct {
    ($name:ident: $($field:ident),*) => {
        impl Compiled for $name {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$field.write(to);)*
            }

            fn read(from: &mut &'static [u8]) -> Self {
                // In the order in which they are written.
                $(let $field = Compiled::read(from);)*
                Self { $($field),* }
            }
        }
    };
}

macro_rules! compiled_enum {
    ($name:ident: $($number:literal = $variant:ident { $($field:tt: $its:ident),* }),*) => {
        impl Compiled for $name {
            fn write(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field: $its),* } => {
                        write_number($number, to);
                        $($its.write(to);)*
                    })*
                }
            }

            fn read(from: &mut &'static [u8]) -> Self {
                match read_number(from) {
                    $($number => Self::$variant { $($field: Compiled::read(from)),* },)*
                    _ => panic!("{WRITTEN_HERE}"),
                }
            }
        }
    };
}

compiled_struct!(Routes: routes, lookups, redact);
compiled_struct!(Lookup: provider, name, path);
compiled_struct!(
    Route: name, provider, destination, event_type, customer, once_per_customer, idempotency_field, fields, events, when
);
compiled_struct!(Field: name, value, optional);
compiled_enum!(Destination: 0 = Workflow { 0: name }, 1 = IncomingWebhook { 0: name });
compiled_enum!(EventPattern: 0 = Exactly { 0: text }, 1 = Prefix { 0: text });
compiled_enum!(
    CustomerSource: 0 = Body { 0: pointer },
    1 = Link { kind: kind, pointer: pointer },
    2 = Api { kind: kind, pointer: pointer }
);
compiled_enum!(FieldValue: 0 = Places { 0: places }, 1 = Constant { 0: json }, 2 = Customer { 0: attribute });
compiled_enum!(Place: 0 = Body { 0: pointer }, 1 = Lookup { lookup: lookup, pointer: pointer });
compiled_enum!(PathPart: 0 = Literal { 0: text }, 1 = Value { 0: pointers });
compiled_enum!(CustomerAttribute: 0 = Email {}, 1 = FirstName {}, 2 = LastName {}, 3 = TradingAccounts {});

impl Compiled for bool {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(u32::from(*self), to);
    }

    fn read(from: &mut &'static [u8]) -> Self {
        read_number(from) == 1
    }
}

impl Compiled for String {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(self.len() as u32, to);
        to.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut &'static [u8]) -> Self {
        read_text(from).to_owned()
    }
}

impl Compiled for Pointer {
    fn write(&self, to: &mut Vec<u8>) {
        self.as_str().to_owned().write(to);
    }

    fn read(from: &mut &'static [u8]) -> Self {
        Self::parse_static(read_text(from)).expect(WRITTEN_HERE)
    }
}

impl<A: Compiled, B: Compiled> Compiled for (A, B) {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut &'static [u8]) -> Self {
        let first = A::read(from);
        (first, B::read(from))
    }
}

impl<T: Compiled> Compiled for Vec<T> {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(self.len() as u32, to);
        self.iter().for_each(|it| it.write(to));
    }

    fn read(from: &mut &'static [u8]) -> Self {
        (0..read_number(from)).map(|_| T::read(from)).collect()
    }
}

impl<V: Compiled> Compiled for BTreeMap<String, V> {
    fn write(&self, to: &mut Vec<u8>) {
        write_number(self.len() as u32, to);
        for (key, value) in self {
            key.write(to);
            value.write(to);
        }
    }

    fn read(from: &mut &'static [u8]) -> Self {
        Vec::<(String, V)>::read(from).into_iter().collect()
    }
}

fn write_number(number: u32, to: &mut Vec<u8>) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn read_number(from: &mut &'static [u8]) -> u32 {
    let (number, rest) = from.split_first_chunk().expect(WRITTEN_HERE);
    *from = rest;
    u32::from_le_bytes(*number)
}

fn read_text(from: &mut &'static [u8]) -> &'static str {
    let length = read_number(from) as usize;
    let (text, rest) = from.split_at(length);
    *from = rest;
    std::str::from_utf8(text).expect(WRITTEN_HERE)
}

#[cfg(test)]
mod tests;
