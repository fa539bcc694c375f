//! The measuring: all take turns, so that what else the machine does strikes them alike.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use local::gateway::events::http_response;
use local::lambda_host::{FunctionSpec, InvokeResult, LambdaHost};
use local::stack::Stack;

use crate::build::Binaries;
use crate::events::{Events, Fate};
use crate::put_item::PutItem;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const COLD_STARTS: usize = 100;
pub(crate) const WARM_EVENTS: usize = 3_000;
const EVENTS_PER_TURN: usize = 50;
/// The first turns pay for caches and allocations, and are not counted.
const TURNS_NOT_COUNTED: usize = 4;

/// All that was measured.
pub(crate) struct Figures {
    pub(crate) hello: Function,
    pub(crate) naive: Function,
    pub(crate) rail: Function,
    /// `rail` with events that it goes on to deliver after the ack.
    pub(crate) delivering: Warm,
    /// An earlier build of `rail`, with both kinds of events.
    pub(crate) earlier: Option<(Function, Warm)>,
    pub(crate) put_item: Samples,
    pub(crate) put_item_cpu: Duration,
}

/// One of the functions, with events that it only records and acknowledges.
pub(crate) struct Function {
    spec: FunctionSpec,
    pub(crate) binary_bytes: u64,
    /// From the start of the process until it asks for an event.
    pub(crate) to_next: Samples,
    /// From then on until its first event is answered.
    pub(crate) first_event: Samples,
    pub(crate) to_first_ack: Samples,
    pub(crate) warm: Warm,
    /// The same with the process stopped between events, as on Lambda.
    pub(crate) frozen: Warm,
}

/// One process that gets event after event.
pub(crate) struct Warm {
    host: LambdaHost,
    fate: Fate,
    pub(crate) acks: Samples,
    /// For all events, each until the process waits for the next.
    pub(crate) cpu: Duration,
    pub(crate) peak_rss_bytes: u64,
}

#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

/// Measures everything; takes about a minute.
pub(crate) async fn measure(stack: &Stack, binaries: &Binaries) -> Result<Figures> {
    let mut events = Events::default();
    let spec = stack.function_spec("rail");
    let delivering = |binary: PathBuf| {
        let spec = FunctionSpec { binary, max_processes: 1, freeze: false, ..spec.clone() };
        Warm::start(&spec, Fate::Delivered)
    };
    let mut figures = Figures {
        hello: Function::new(&spec, &binaries.hello)?,
        naive: Function::new(&spec, &binaries.naive)?,
        rail: Function::new(&spec, &binaries.rail())?,
        delivering: delivering(binaries.rail())?,
        earlier: match binaries.earlier_rail() {
            Some(binary) => Some((Function::new(&spec, &binary)?, delivering(binary)?)),
            None => None,
        },
        put_item: Samples::default(),
        put_item_cpu: Duration::ZERO,
    };

    eprintln!("{COLD_STARTS} cold starts of each function");
    for _ in 0..COLD_STARTS {
        for function in figures.functions() {
            function.cold_start(events.next(Fate::Ignored)).await?;
        }
    }

    eprintln!("{WARM_EVENTS} warm events for each function");
    let mut put_item = PutItem::start(&spec)?;
    for turn in 0..TURNS_NOT_COUNTED + WARM_EVENTS / EVENTS_PER_TURN {
        if turn == TURNS_NOT_COUNTED {
            figures.forget_warm_up();
        }
        for function in figures.functions() {
            function.warm.turn(&mut events).await?;
            function.frozen.turn(&mut events).await?;
        }
        for delivering in figures.delivering() {
            delivering.turn(&mut events).await?;
        }
        let cpu_before = put_item.cpu()?;
        for _ in 0..EVENTS_PER_TURN {
            figures.put_item.0.push(put_item.put()?);
        }
        figures.put_item_cpu += put_item.cpu()? - cpu_before;
    }

    let sent = (TURNS_NOT_COUNTED * EVENTS_PER_TURN + WARM_EVENTS) * figures.delivering().count();
    let (delivered, violations) = (stack.returning_ai.all_messages().len(), stack.returning_ai.violations());
    if delivered != sent || !violations.is_empty() {
        return Err(
            format!("of {sent} events {delivered} were delivered, with these violations: {violations:?}").into()
        );
    }
    Ok(figures)
}

impl Figures {
    fn functions(&mut self) -> impl Iterator<Item = &mut Function> {
        let earlier = self.earlier.as_mut().map(|(function, _)| function);
        [&mut self.hello, &mut self.naive, &mut self.rail].into_iter().chain(earlier)
    }

    fn delivering(&mut self) -> impl Iterator<Item = &mut Warm> {
        let earlier = self.earlier.as_mut().map(|(_, delivering)| delivering);
        [&mut self.delivering].into_iter().chain(earlier)
    }

    fn forget_warm_up(&mut self) {
        for function in self.functions() {
            function.warm.forget();
            function.frozen.forget();
        }
        self.delivering().for_each(Warm::forget);
        self.put_item = Samples::default();
        self.put_item_cpu = Duration::ZERO;
    }
}

impl Function {
    fn new(spec: &FunctionSpec, binary: &Path) -> Result<Self> {
        let spec = FunctionSpec { binary: binary.to_owned(), max_processes: 1, freeze: false, ..spec.clone() };
        Ok(Self {
            binary_bytes: binary.metadata()?.len(),
            to_next: Samples::default(),
            first_event: Samples::default(),
            to_first_ack: Samples::default(),
            warm: Warm::start(&spec, Fate::Ignored)?,
            frozen: Warm::start(&FunctionSpec { freeze: true, ..spec.clone() }, Fate::Ignored)?,
            spec,
        })
    }

    /// A new process for one event.
    async fn cold_start(&mut self, event: Bytes) -> Result<()> {
        let host = LambdaHost::start(self.spec.clone())?;
        let invoked = acknowledged(&host, event).await?;
        let to_next = *host.cold_starts().first().ok_or("the process asked for no event")?;
        self.to_next.0.push(to_next);
        self.first_event.0.push(invoked.ack.saturating_sub(to_next));
        self.to_first_ack.0.push(invoked.ack);
        host.shutdown().await;
        Ok(())
    }
}

impl Warm {
    fn start(spec: &FunctionSpec, fate: Fate) -> Result<Self> {
        let host = LambdaHost::start(spec.clone())?;
        Ok(Self { host, fate, acks: Samples::default(), cpu: Duration::ZERO, peak_rss_bytes: 0 })
    }

    /// Some events, one after the other; each is given when the process has done with the last.
    async fn turn(&mut self, events: &mut Events) -> Result<()> {
        let events: Vec<_> = (0..EVENTS_PER_TURN).map(|_| events.next(self.fate)).collect();
        let cpu_before = self.stats().map(|(cpu, _)| cpu).unwrap_or_default();
        for event in events {
            self.acks.0.push(acknowledged(&self.host, event).await?.ack);
            self.host.idle().await;
        }
        let (cpu, peak_rss_bytes) = self.stats().ok_or("the process is gone")?;
        self.cpu += cpu.saturating_sub(cpu_before);
        self.peak_rss_bytes = peak_rss_bytes;
        Ok(())
    }

    fn stats(&self) -> Option<(Duration, u64)> {
        let stats = self.host.process_stats(*self.host.pids().first()?)?;
        Some((stats.cpu, stats.peak_rss_bytes))
    }

    fn forget(&mut self) {
        self.acks = Samples::default();
        self.cpu = Duration::ZERO;
    }
}

/// Gives the function an event, which it must accept: nobody wants to know how fast it refuses.
async fn acknowledged(host: &LambdaHost, event: Bytes) -> Result<InvokeResult> {
    let invoked = host.invoke(event).await?;
    match http_response(&invoked.response) {
        Some(response) if response.status().is_success() => Ok(invoked),
        _ => Err(format!("{} answered {}", host.name(), String::from_utf8_lossy(&invoked.response)).into()),
    }
}

impl Samples {
    /// The sample that this share of all samples does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (share * sorted.len() as f64) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }
}
