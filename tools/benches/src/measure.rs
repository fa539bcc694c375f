//! The measuring: all take turns, so that what else the machine does strikes them alike.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use local::gateway::events::http_response;
use local::lambda_host::{FunctionSpec, InvokeResult, LambdaHost, ProcessStats};
use local::stack::Stack;

use crate::build::{Platform, Program, Programs};
use crate::events::{Events, Fate};
use crate::put_item::PutItem;
use crate::tls::{CertificateAuthority, Opened, TlsFront};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const COLD_STARTS: usize = 100;
/// An interpreter starts in every tenth round only.
pub(crate) const INTERPRETER_STARTS: usize = COLD_STARTS / 10;
pub(crate) const TURNS: usize = 40;
/// In a turn, one right after the other.
pub(crate) const EVENTS_PER_TURN: usize = 50;
/// In a turn, each after a [`PAUSE`].
pub(crate) const PAUSED_PER_TURN: usize = 20;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// The first turns pay for caches, allocations and compilers at run time, and are not counted.
const TURNS_NOT_COUNTED: usize = 4;

/// All that was measured.
pub(crate) struct Figures {
    pub(crate) floor: Subject,
    pub(crate) limit: Subject,
    pub(crate) naive: Subject,
    pub(crate) bridge: Subject,
    pub(crate) earlier: Option<Subject>,
    pub(crate) node: Option<Subject>,
    pub(crate) python: Option<Subject>,
    /// The bridge with events that it goes on to deliver after the ack.
    pub(crate) delivering: Warm,
    pub(crate) earlier_delivering: Option<Warm>,
    pub(crate) put_item: Samples,
    pub(crate) put_item_cpu: Samples,
    pub(crate) left_out: Vec<String>,
}

/// One program, with events that it only records and acknowledges.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    cold_starts: usize,
    pub(crate) plain: Function,
    /// None for what calls nothing, or cannot be configured to trust the certificates.
    pub(crate) tls: Option<Function>,
}

/// A program and what it calls, by plain HTTP or over TLS.
pub(crate) struct Function {
    spec: FunctionSpec,
    opened: Opened,
    /// From the start of the process until it asks for an event.
    pub(crate) to_next: Samples,
    pub(crate) to_first_ack: Samples,
    /// From the start until it asks for its second event.
    pub(crate) first_cpu: Samples,
    /// Connections to AWS until it asks for an event, and until that is answered; the most that was seen.
    pub(crate) connections: (usize, usize),
    pub(crate) warm: Warm,
    /// A process that gets each event after a [`PAUSE`].
    pub(crate) paused: Warm,
}

/// One process that gets event after event.
pub(crate) struct Warm {
    host: LambdaHost,
    fate: Fate,
    pub(crate) acks: Samples,
    /// Of each turn the mean per event, until the process waits for the next.
    pub(crate) cpu: Samples,
    pub(crate) peak_rss_bytes: u64,
}

#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

/// Measures everything; takes some minutes.
pub(crate) async fn measure(stack: &Stack, programs: Programs) -> Result<Figures> {
    let spec = FunctionSpec { max_processes: 1, freeze: false, ..stack.function_spec("rail") };
    let mut left_out = programs.left_out;
    let tls = match Tls::start(stack, &programs.target).await {
        Ok(tls) => Some(tls),
        Err(error) => {
            left_out.push(format!("TLS is left out: {error}"));
            None
        }
    };
    let delivering = |program: &Program| {
        Warm::start(&FunctionSpec { binary: program.binary.clone(), ..spec.clone() }, Fate::Delivered)
    };
    let mut subject = |program: &Program| Subject::new(&spec, program, tls.as_ref(), &mut left_out);
    let mut figures = Figures {
        floor: subject(&programs.floor)?,
        limit: subject(&programs.limit)?,
        naive: subject(&programs.naive)?,
        bridge: subject(&programs.bridge)?,
        earlier: programs.earlier.as_ref().map(&mut subject).transpose()?,
        node: programs.node.as_ref().map(&mut subject).transpose()?,
        python: programs.python.as_ref().map(&mut subject).transpose()?,
        delivering: delivering(&programs.bridge)?,
        earlier_delivering: programs.earlier.as_ref().map(delivering).transpose()?,
        put_item: Samples::default(),
        put_item_cpu: Samples::default(),
        left_out: Vec::new(),
    };
    figures.left_out = left_out;

    let mut events = Events::default();
    eprintln!("{COLD_STARTS} cold starts of each program");
    for round in 0..COLD_STARTS {
        for subject in figures.subjects_mut().filter(|subject| round < subject.cold_starts) {
            for function in subject.functions_mut() {
                function.cold_start(events.next(Fate::Ignored)).await?;
            }
        }
    }

    eprintln!("{TURNS} turns of each program");
    let mut put_item = PutItem::start(&spec)?;
    for turn in 0..TURNS_NOT_COUNTED + TURNS {
        if turn == TURNS_NOT_COUNTED {
            figures.forget_warm_up();
        }
        for function in figures.subjects_mut().flat_map(Subject::functions_mut) {
            function.warm.turn(&mut events).await?;
            function.paused.paused_turn(&mut events).await?;
        }
        for delivering in figures.delivering_mut() {
            delivering.turn(&mut events).await?;
        }
        let cpu_before = put_item.cpu()?;
        for _ in 0..EVENTS_PER_TURN {
            figures.put_item.0.push(put_item.put()?);
        }
        figures.put_item_cpu.0.push(per_event(put_item.cpu()? - cpu_before, EVENTS_PER_TURN));
    }

    let sent = (TURNS_NOT_COUNTED + TURNS) * EVENTS_PER_TURN * figures.delivering_mut().count();
    let (delivered, violations) = (stack.returning_ai.all_messages().len(), stack.returning_ai.violations());
    if delivered != sent || !violations.is_empty() {
        return Err(
            format!("of {sent} events {delivered} were delivered, with these violations: {violations:?}").into()
        );
    }
    Ok(figures)
}

/// AWS over TLS.
struct Tls {
    authority: CertificateAuthority,
    opened: Opened,
    dynamodb: TlsFront,
    secrets_manager: TlsFront,
}

impl Tls {
    async fn start(stack: &Stack, target: &Path) -> Result<Self> {
        let authority = CertificateAuthority::create(target)?;
        let opened = Opened::default();
        let dynamodb = authority.in_front_of(&stack.dynamodb.url(), &opened).await?;
        let secrets_manager = authority.in_front_of(&stack.secrets_manager.url(), &opened).await?;
        Ok(Self { authority, opened, dynamodb, secrets_manager })
    }

    /// The same function with AWS over TLS. `name` is the copy's, where the binary has to be one.
    fn spec(&self, spec: &FunctionSpec, runs_on: Platform, name: &str) -> Result<FunctionSpec> {
        let mut spec = spec.clone();
        spec.env.push(("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), self.dynamodb.url()));
        spec.env.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), self.secrets_manager.url()));
        match runs_on {
            Platform::CompiledRoots => spec.binary = self.authority.trusted_by(&spec.binary, name)?,
            _ => spec.env.extend(self.authority.environment()),
        }
        Ok(spec)
    }
}

impl Figures {
    /// In the order of the tables.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        let Self { floor, limit, naive, bridge, earlier, node, python, .. } = self;
        [floor, limit, naive, bridge].into_iter().chain(earlier).chain(node).chain(python)
    }

    fn subjects_mut(&mut self) -> impl Iterator<Item = &mut Subject> {
        let Self { floor, limit, naive, bridge, earlier, node, python, .. } = self;
        [floor, limit, naive, bridge].into_iter().chain(earlier).chain(node).chain(python)
    }

    fn delivering_mut(&mut self) -> impl Iterator<Item = &mut Warm> {
        [&mut self.delivering].into_iter().chain(&mut self.earlier_delivering)
    }

    fn forget_warm_up(&mut self) {
        for function in self.subjects_mut().flat_map(Subject::functions_mut) {
            function.warm.forget();
            function.paused.forget();
        }
        self.delivering_mut().for_each(Warm::forget);
        self.put_item = Samples::default();
        self.put_item_cpu = Samples::default();
    }
}

impl Subject {
    fn new(spec: &FunctionSpec, program: &Program, tls: Option<&Tls>, left_out: &mut Vec<String>) -> Result<Self> {
        let Program { name, binary, bytes, runs_on } = program.clone();
        let spec = FunctionSpec { binary, ..spec.clone() };
        let copy = name.replace('*', "");
        let tls = match tls.filter(|_| runs_on != Platform::Alone).map(|tls| (tls, tls.spec(&spec, runs_on, &copy))) {
            None => None,
            Some((tls, Ok(spec))) => Some(Function::new(spec, tls.opened.clone())?),
            Some((_, Err(error))) => {
                left_out.push(format!("{copy} over TLS is left out: {error}"));
                None
            }
        };
        let cold_starts = if runs_on == Platform::Interpreter { INTERPRETER_STARTS } else { COLD_STARTS };
        Ok(Self { name, bytes, cold_starts, plain: Function::new(spec, Opened::default())?, tls })
    }

    fn functions_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        [&mut self.plain].into_iter().chain(&mut self.tls)
    }
}

impl Function {
    fn new(spec: FunctionSpec, opened: Opened) -> Result<Self> {
        Ok(Self {
            warm: Warm::start(&spec, Fate::Ignored)?,
            paused: Warm::start(&spec, Fate::Ignored)?,
            spec,
            opened,
            to_next: Samples::default(),
            to_first_ack: Samples::default(),
            first_cpu: Samples::default(),
            connections: (0, 0),
        })
    }

    /// A new process for one event.
    async fn cold_start(&mut self, event: Bytes) -> Result<()> {
        let host = LambdaHost::start(self.spec.clone())?;
        let began = Instant::now();
        let invoked = acknowledged(&host, event).await?;
        host.idle().await;
        let to_next = *host.cold_starts().first().ok_or("the process asked for no event")?;
        self.to_next.0.push(to_next);
        self.to_first_ack.0.push(invoked.ack);
        self.first_cpu.0.push(stats(&host)?.cpu);
        let opened = |until: Duration| self.opened.between(began, began + until);
        let (before_next, in_all) = self.connections;
        self.connections = (before_next.max(opened(to_next)), in_all.max(opened(invoked.ack)));
        host.shutdown().await;
        Ok(())
    }
}

impl Warm {
    fn start(spec: &FunctionSpec, fate: Fate) -> Result<Self> {
        Ok(Self {
            host: LambdaHost::start(spec.clone())?,
            fate,
            acks: Samples::default(),
            cpu: Samples::default(),
            peak_rss_bytes: 0,
        })
    }

    /// Some events, one after the other; each is given when the process has done with the last.
    async fn turn(&mut self, events: &mut Events) -> Result<()> {
        let events: Vec<_> = (0..EVENTS_PER_TURN).map(|_| events.next(self.fate)).collect();
        let cpu_before = self.cpu_so_far();
        for event in events {
            self.acks.0.push(acknowledged(&self.host, event).await?.ack);
            self.host.idle().await;
        }
        let ProcessStats { cpu, peak_rss_bytes } = stats(&self.host)?;
        self.cpu.0.push(per_event(cpu.saturating_sub(cpu_before), EVENTS_PER_TURN));
        self.peak_rss_bytes = peak_rss_bytes;
        Ok(())
    }

    /// Some events, each after a pause: most of Lambda's come so, to caches that others have used meanwhile.
    async fn paused_turn(&mut self, events: &mut Events) -> Result<()> {
        let cpu_before = self.cpu_so_far();
        for _ in 0..PAUSED_PER_TURN {
            tokio::time::sleep(PAUSE).await;
            acknowledged(&self.host, events.next(self.fate)).await?;
            self.host.idle().await;
        }
        let cpu = stats(&self.host)?.cpu.saturating_sub(cpu_before);
        self.cpu.0.push(per_event(cpu, PAUSED_PER_TURN));
        Ok(())
    }

    fn cpu_so_far(&self) -> Duration {
        stats(&self.host).map(|stats| stats.cpu).unwrap_or_default()
    }

    fn forget(&mut self) {
        self.acks = Samples::default();
        self.cpu = Samples::default();
    }
}

fn stats(host: &LambdaHost) -> Result<ProcessStats> {
    let stats = host.pids().first().and_then(|pid| host.process_stats(*pid));
    Ok(stats.ok_or("the process is gone")?)
}

/// Gives the function an event, which it must accept: how fast it refuses is not measured.
async fn acknowledged(host: &LambdaHost, event: Bytes) -> Result<InvokeResult> {
    let invoked = host.invoke(event).await?;
    match http_response(&invoked.response) {
        Some(response) if response.status().is_success() => Ok(invoked),
        _ => Err(format!("{} answered {}", host.name(), String::from_utf8_lossy(&invoked.response)).into()),
    }
}

fn per_event(of_all: Duration, events: usize) -> Duration {
    of_all / u32::try_from(events).unwrap_or(u32::MAX)
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
