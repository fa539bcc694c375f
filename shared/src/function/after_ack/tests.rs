use futures_util::future::{join, ready};
use tokio::sync::oneshot;

use super::*;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Whether the Runtime API took the answer.
type Posted = Result<(), &'static str>;

/// Stands for the runtime's service: posts the answer of an invocation when it is told to.
struct Runtime {
    log: Log,
    after_ack: AfterAck,
    leaves_work: bool,
    posted: HashMap<String, oneshot::Receiver<Posted>>,
}

impl Service<LambdaInvocation> for Runtime {
    type Response = ();
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Posted> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Posted> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let id = invocation.context.request_id;
        let posted = self.posted.remove(&id).unwrap();
        let (log, after_ack, leaves_work) = (Arc::clone(&self.log), self.after_ack.clone(), self.leaves_work);
        Box::pin(async move {
            if leaves_work {
                let (log, done) = (Arc::clone(&log), format!("{id}: work"));
                after_ack.defer(&id, async move { log.lock().unwrap().push(done) });
            }
            let result = posted.await.unwrap();
            log.lock().unwrap().push(format!("{id}: {}", if result.is_ok() { "posted" } else { "not posted" }));
            result
        })
    }
}

fn invocation(request_id: &str) -> LambdaInvocation {
    let (parts, ()) = http::Response::new(()).into_parts();
    let mut context = lambda_runtime::Context::default();
    context.request_id = request_id.to_owned();
    LambdaInvocation { parts, body: bytes::Bytes::new(), context }
}

/// The layered service for two invocations, and the way to let each one's answer be posted.
fn service(leaves_work: bool) -> (AfterAckService<Runtime>, Log, [oneshot::Sender<Posted>; 2]) {
    let (after_ack, log) = (AfterAck::default(), Log::default());
    let ((post_a, a), (post_b, b)) = (oneshot::channel(), oneshot::channel());
    let posted = HashMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
    let inner = Runtime { log: Arc::clone(&log), after_ack: after_ack.clone(), leaves_work, posted };
    (after_ack.layer(inner), log, [post_a, post_b])
}

#[tokio::test]
async fn work_begins_once_the_answer_is_posted_and_ends_before_the_next_invocation() {
    let (mut service, log, [post_a, post_b]) = service(true);
    post_a.send(Ok(())).unwrap();
    post_b.send(Ok(())).unwrap();
    assert_eq!(service.call(invocation("a")).await, Ok(()));
    assert_eq!(*log.lock().unwrap(), ["a: posted", "a: work"]);
    assert_eq!(service.call(invocation("b")).await, Ok(()));
    assert_eq!(*log.lock().unwrap(), ["a: posted", "a: work", "b: posted", "b: work"]);
    assert!(service.after_ack.waiting().is_empty());
}

#[tokio::test]
async fn work_is_done_also_when_the_answer_could_not_be_posted() {
    let (mut service, log, [post_a, _]) = service(true);
    post_a.send(Err("no connection")).unwrap();
    assert_eq!(service.call(invocation("a")).await, Err("no connection"));
    assert_eq!(*log.lock().unwrap(), ["a: not posted", "a: work"]);
}

#[tokio::test]
async fn an_invocation_that_left_no_work_ends_with_its_answer() {
    let (mut service, log, [post_a, _]) = service(false);
    post_a.send(Ok(())).unwrap();
    assert_eq!(service.call(invocation("a")).await, Ok(()));
    assert_eq!(*log.lock().unwrap(), ["a: posted"]);
}

#[tokio::test]
async fn each_of_two_invocations_side_by_side_does_its_own_work() {
    let (mut service, log, [post_a, post_b]) = service(true);
    let b_first = async {
        post_b.send(Ok(())).unwrap();
        while log.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        post_a.send(Ok(())).unwrap();
    };
    let (a, b) = (service.call(invocation("a")), service.call(invocation("b")));
    let ((a, b), ()) = join(join(a, b), b_first).await;
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(*log.lock().unwrap(), ["b: posted", "b: work", "a: posted", "a: work"]);
}

#[tokio::test]
async fn work_is_kept_by_request_id() {
    let after_ack = AfterAck::default();
    after_ack.defer("a", ready(()));
    assert!(after_ack.take("b").is_none());
    assert!(after_ack.take("a").is_some());
    assert!(after_ack.take("a").is_none());
}
