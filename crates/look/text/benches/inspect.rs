//! How fast the engine looks: megabytes a second on one core, whole and as a stream.
//!
//! `cargo bench -p haris-text`. The texts are made here, so that the figure can be made again
//! anywhere. Each figure is the best of several runs: the others measure the neighbours.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haris_domain::Context;
use haris_text::Engine;

const BYTES: usize = 4 << 20;
const RUNS: usize = 7;

#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
fn main() {
    let started = Instant::now();
    let engine = Arc::new(Engine::new());
    println!("engine built in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    for (name, text) in [
        ("English prose", prose(ENGLISH)),
        ("Arabic prose", prose(ARABIC)),
        ("source code", prose(CODE)),
        ("table of numbers", numbers()),
        ("personal data everywhere", prose(DENSE)),
    ] {
        for context in [Context::User, Context::Document, Context::Output] {
            let whole = best(&text, || {
                black_box(engine.inspect(black_box(&text), context));
            });
            println!("{name:<26} {:<9} whole text        {whole:>7.0} MB/s", context.name());
        }
        let streamed = best(&text, || {
            let mut stream = engine.stream(Context::Output);
            let mut out = Vec::new();
            // As a model writes: about four bytes at a time.
            for chunk in chunks(&text, 4) {
                stream.push(black_box(chunk), &mut out);
                out.clear();
            }
            stream.finish(&mut out);
        });
        println!("{name:<26} output    4-byte pushes     {streamed:>7.1} MB/s");
    }
    let prompt: String = prose(ENGLISH).chars().take(1024).collect();
    let one = best(&prompt, || {
        black_box(engine.inspect(black_box(&prompt), Context::User));
    });
    println!("1 KB English prompt: {:.1} µs", prompt.len() as f64 / one);
}

/// Megabytes a second of the fastest run.
fn best(text: &str, mut look: impl FnMut()) -> f64 {
    let fastest = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            look();
            started.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    text.len() as f64 / fastest.as_secs_f64() / 1e6
}

fn chunks(text: &str, bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = bytes.min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (chunk, after) = rest.split_at(end);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Sentences in an order that does not repeat soon, so that branch predictors learn no tune.
fn prose(sentences: &[&str]) -> String {
    let (mut text, mut state) = (String::with_capacity(BYTES), 1_u64);
    while text.len() < BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(sentences[(state >> 33) as usize % sentences.len()]);
        text.push_str(if state >> 61 == 0 { "\n\n" } else { " " });
    }
    text
}

fn numbers() -> String {
    let (mut text, mut state) = (String::with_capacity(BYTES), 7_u64);
    while text.len() < BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:>9.2} | ", (state >> 40) as f64 / 100.0));
        if state >> 61 == 0 {
            text.push('\n');
        }
    }
    text
}

const ENGLISH: &[&str] = &[
    "The branch in Lusail opens at eight, and the queue is short before nine.",
    "Customers who bring their residence card are served first; others wait for a manager's approval.",
    "It usually takes about ten minutes, although the end of the month is busier than the rest.",
    "Several of the older buildings along the water were restored in the last decade, and their owners kept the carved doors.",
    "When the tide is low, fishermen walk out to the flats and check the traps that they set the evening before.",
    "She wrote to the committee twice, explained what had gone wrong, and proposed a simpler way of keeping the records.",
    "Nobody expected the second experiment to work, least of all the students who had built the apparatus in a cellar.",
    "The report compares three methods, describes where each of them fails, and recommends the one that is easiest to check.",
    "Prices rose slowly during the spring, fell again in July 2019, and have hardly moved since then.",
    "If you would rather have a printed statement, you can order one in the application or at any counter.",
    "Birds follow the coast on their way south, resting for a few days wherever they find fresh water and shade.",
    "Most readers remember the first chapter, yet the argument of the book is made in the appendix.",
];

const ARABIC: &[&str] = &[
    "يفتح الفرع أبوابه في الثامنة صباحاً، ويكون الانتظار قصيراً قبل التاسعة.",
    "يُخدم أولاً من يحضر بطاقته، وقد تستغرق الموافقة عشر دقائق في نهاية الشهر.",
    "رُمّمت بعض البيوت القديمة على الشاطئ، واحتفظ أصحابها بالأبواب المنقوشة.",
    "يقارن التقرير بين ثلاث طرق، ويصف موضع الضعف في كل منها، ثم يوصي بأسهلها فحصاً.",
    "ارتفعت الأسعار ببطء في الربيع، ثم عادت إلى ما كانت عليه في يوليو ٢٠١٩.",
];

const CODE: &[&str] = &[
    "let total: u64 = rows.iter().map(|row| row.amount_minor).sum();\n",
    "if let Some(index) = self.names.binary_search(&name).ok() { return Some(&self.values[index]); }\n",
    "    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {\n",
    "// Compared in constant time: the caller chooses the token and sees the reply's time.\n",
    "SELECT id, created_at, status FROM transfers WHERE status = 'open' ORDER BY created_at LIMIT 50;\n",
    "const RETRIES_MAX: usize = 3; assert_eq!(hex::encode([0xde, 0xad]), \"dead\");\n",
];

const DENSE: &[&str] = &[
    "My QID is 28463400123 and my card is 4030 1288 7200 2972.",
    "Call +974 5512 3456 or write to fatima@example.qa today.",
    "Move it to QA78CBQA459285040204876769863, born 12/08/1979.",
    "The password is Sidra#40west and the host is 10.9.0.7.",
];
