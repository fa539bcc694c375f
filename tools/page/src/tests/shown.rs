//! How it looks: at every width, in light and in dark; and the pictures of the documentation.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use local::binaries::workspace_root;
use local::faults::When;
use local::returning_ai::{At, Fault};
use serde_json::json;
use shared::clock::Clock;

use super::browser::Browser;
use super::here::Here;
use super::{listed, row};

/// `write` puts the pictures where the documentation has them; otherwise they are under `target`.
const SCREENSHOTS: &str = "BRIDGE_SCREENSHOTS";

/// Each with its size, whether it is dark, and whether the dead event is opened.
const PICTURES: [(&str, (u32, u32), bool, bool); 3] = [
    ("page.png", (1600, 900), false, true),
    ("page-dark.png", (1280, 800), true, false),
    ("page-narrow.png", (360, 780), false, false),
];

/// They are documents, and stay in the repository's history.
const MOST_BYTES: u64 = 150_000;

/// Colours change by and by.
const AT_REST: &str = "Promise.allSettled(document.getAnimations().map((it) => it.finished)).then(() => null)";

/// Controls that stand out sideways, or their words out of them, and texts that have too little contrast with what is behind them (WCAG: 4.5).
const UNREADABLE: &str = r#"(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (color) => {
        const [r, g, b] = rgba(color).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const color = getComputedStyle(node).backgroundColor;
            if (rgba(color)[3] === 255) return color;
        }
        return 'white';
    };
    const isShown = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const found = [];
    for (const node of document.querySelectorAll('button, input, select, textarea')) {
        const { left, right, width } = node.getBoundingClientRect();
        const isOut = left < 0 || right > document.documentElement.clientWidth;
        const isCut = node.tagName === 'BUTTON' && node.scrollWidth > node.clientWidth;
        if (isShown(node) && width > 0 && (isOut || isCut)) found.push(`${node.id || node.className} stands out`);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const node = text.parentElement;
        if (text.data.trim() === '' || !isShown(node) || node.closest(':disabled, svg, option, .hidden')) continue;
        const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (contrast < 4.5) found.push(`${text.data.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return found;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_readable_at_every_width_in_light_and_dark_and_has_its_picture_taken() {
    let committed = workspace_root().join("docs/images");
    let writes = std::env::var_os(SCREENSHOTS).is_some_and(|value| value == "write");
    let missing = PICTURES.map(|(name, ..)| committed.join(name)).into_iter().find(|picture| !picture.is_file());
    assert!(writes || missing.is_none(), "{missing:?} is not there: {SCREENSHOTS}=write takes it");
    let Some(browser) = Browser::start().await else { return };
    let here = Here::start().await;
    browser.open(&here.url()).await;
    let dead = tell_a_story(&here).await;
    listed(&browser, &dead, "dead").await;
    browser.wait_for_text("#pending", "1").await;
    browser.wait_for_text("#ack-sub", "p50 of 15").await;
    browser.wait_for_text("#canvas [data-col=customer]", "C-").await;

    for width in [360, 768, 1280, 1600] {
        browser.size(width, 800).await;
        for dark in [false, true] {
            browser.dark(dark).await;
            browser.wait_until(&format!("matchMedia('(prefers-color-scheme: dark)').matches === {dark}")).await;
            is_readable(&browser, width).await;
            browser.wait_until("document.querySelector('#events').clientHeight > 300").await;
            let first = "document.querySelector('#canvas [data-pk]:not([hidden])')";
            browser.evaluate(&format!("{first}.scrollIntoView({{ block: 'center' }})")).await;
            let middle = format!(
                "(({{ left, top, width, height }}) => document.elementFromPoint(left + width / 2, top + height / 2))\
                 ({first}.getBoundingClientRect())"
            );
            browser.wait_until(&format!("{first}.contains({middle})")).await;
            browser.click(&row(&dead)).await;
            browser.wait_for_text("#timeline [data-kind=dead]", "dead").await;
            browser.wait_for_text("#messages pre", "deposit.posted").await;
            is_readable(&browser, width).await;
            browser.click("#opened-close").await;
            browser.evaluate("scrollTo(0, 0)").await;
            browser.click("#alarms-open").await;
            browser
                .evaluate(
                    "document.querySelectorAll('#alarms details').forEach((it) => { it.name = ''; it.open = true; })",
                )
                .await;
            is_readable(&browser, width).await;
            browser
                .wait_until(
                    "document.querySelector('#alarms > div').scrollWidth <= document.querySelector('#alarms > div').clientWidth",
                )
                .await;
            browser
                .evaluate("document.querySelectorAll('#alarms details').forEach((it) => { it.open = false; })")
                .await;
            browser.click("#alarms-close").await;
        }
    }

    for (name, (width, height), dark, opened) in PICTURES {
        browser.size(width, height).await;
        browser.dark(dark).await;
        if opened {
            browser.click(&row(&dead)).await;
            browser.wait_for_text("#messages pre", "deposit.posted").await;
        }
        browser.evaluate("document.activeElement.blur()").await;
        browser.evaluate(AT_REST).await;
        browser.wait_for_text("#canvas [data-state=pending] [data-col=next]", "in ").await;
        let picture = taken().join(name);
        browser.screenshot(&picture).await;
        let kept = committed.join(name);
        if writes {
            fs::create_dir_all(&committed).unwrap();
            fs::write(&kept, with_fewer_colours(&picture)).unwrap();
        }
        let bytes = fs::metadata(&kept).unwrap().len();
        assert!(bytes < MOST_BYTES, "{} has {bytes} bytes", kept.display());
        if opened {
            browser.click("#opened-close").await;
        }
    }
    browser.close().await;
    here.end().await;
}

/// The browser's PNG with a palette: the 256 colours used most, and in place of any other the nearest of these.
fn with_fewer_colours(picture: &Path) -> Vec<u8> {
    let mut reader = png::Decoder::new(BufReader::new(fs::File::open(picture).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let pixels = bytes[..info.buffer_size()].chunks_exact(info.color_type.samples()).map(|it| [it[0], it[1], it[2]]);

    let mut counts = HashMap::<[u8; 3], usize>::new();
    pixels.clone().for_each(|color| *counts.entry(color).or_default() += 1);
    let mut palette: Vec<[u8; 3]> = counts.keys().copied().collect();
    palette.sort_by_key(|color| (Reverse(counts[color]), *color));
    palette.truncate(256);
    let distance = |a: [u8; 3], b: [u8; 3]| (0..3).map(|at| u32::from(a[at].abs_diff(b[at])).pow(2)).sum::<u32>();
    let nearest = |color| (0..=255_u8).take(palette.len()).min_by_key(|at| distance(palette[usize::from(*at)], color));
    let places: HashMap<[u8; 3], u8> = counts.keys().map(|color| (*color, nearest(*color).unwrap())).collect();

    let mut smaller = Vec::new();
    let mut encoder = png::Encoder::new(&mut smaller, info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let indexed: Vec<u8> = pixels.map(|color| places[&color]).collect();
    encoder.write_header().unwrap().write_image_data(&indexed).unwrap();
    smaller
}

/// Where pictures are that are not kept.
fn taken() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(3).unwrap().join("tmp/page")
}

async fn is_readable(browser: &Browser, width: u32) {
    browser.wait_until(&format!("document.documentElement.scrollWidth <= {width}")).await;
    browser.evaluate(AT_REST).await;
    assert_eq!(browser.evaluate(UNREADABLE).await, json!([]), "at {width} px");
}

/// Some events are delivered, one is ignored, one waits, and one was tried for long and is dead: the key of that.
async fn tell_a_story(here: &Here) -> String {
    let deliver = async |name: &str| {
        let provider = name.split('/').next().unwrap();
        let body = fs::read_to_string(workspace_root().join("events").join(name)).unwrap();
        assert_eq!(here.deliver(provider, &body).await, 200, "{name}");
        here.stack.settled().await;
    };
    for name in [
        "rillis/verification_identity_updated.json",
        "rillis/flow_completed.json",
        "rail/application_approved.json",
        "rail/account_pending.json",
        "rail/account_open.json",
    ] {
        deliver(name).await;
    }

    let fails = |workflow: &str, fault: Fault, times: u32| {
        here.stack.returning_ai.inject(Some(At::Webhook(workflow.to_owned())), fault, When::Next(times));
    };
    fails("deposit", Fault::Status(503), 3);
    let deposit = json!({
        "event_id": "evt_5m2c8xq07vkd", "event_date": Clock::system().now().to_string(), "event_type": "TRANSACTION_POSTED",
        "event_data": {
            "transaction_id": "txn_0047", "account_id": "CUSTOMER_USD_001", "customer_id": "C-1001",
            "amount": 1250.5, "asset_type_id": "FIAT_MAINNET_USD", "category": "DEPOSIT", "status": "POSTED",
        },
    });
    assert_eq!(here.deliver("rail", &deposit.to_string()).await, 200);
    here.stack.settled().await;
    for fault in [Fault::Status(503), Fault::SuccessFalse, Fault::Status(422)] {
        fails("deposit", fault, 1);
        assert_eq!(here.stack.make_due().await.unwrap(), 1);
        here.redrive().await;
    }
    for name in [
        "rail/withdrawal_requested.json",
        "rail/withdrawal_completed.json",
        "rail/account_frozen.json",
        "rillis/flow_completed_with_customer.json",
        "rail/transaction_posted_deposit.json",
        "rail/account_frozen_l2f.json",
        "rillis/flow_rejected.json",
    ] {
        deliver(name).await;
    }
    // Long enough for all the pictures.
    fails("account-status", Fault::RetryAfter { status: 429, after: "240".to_owned() }, 1);
    deliver("rail/account_closed.json").await;
    deliver("rail/account_open_nested.json").await;
    "rail#evt_5m2c8xq07vkd".to_owned()
}
