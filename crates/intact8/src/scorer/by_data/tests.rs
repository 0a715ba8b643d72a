//! Tests: scores do not depend on the number of threads, the order of samples, or the models scored before.

use super::*;
use crate::data::{Feeding, metric_named};
use crate::goal::{Goal, Target};

type OutOfReach<'a> = &'a dyn Fn(&Score) -> bool;

fn scored(
    scorer: &mut DataScorer,
    model: &Model,
    mode: ScoringMode,
    out_of_reach: Option<OutOfReach<'_>>,
    references: Option<[&Score; 2]>,
) -> Score {
    let [original, first] = references.map_or([None; 2], |references| references.map(Some));
    let mut scoring = Scoring { original, first, out_of_reach, misses: None, progress: &mut |_, _| Ok(()) };
    scorer.score_model(model, mode, &mut scoring).unwrap()
}

/// A model whose output is its input, for samples of three classes.
fn model() -> Model {
    "model m opset 17\n%x = input : f32[N,3]\n%y = Identity(%x)\nreturn %y\n".parse().unwrap()
}

fn scorer(metric: &Metric, n_samples: usize, has_targets: bool) -> DataScorer {
    let values =
        |factor: usize| (0..3 * n_samples).map(|idx| (idx * idx * factor % 7) as f32 - 2.0).collect();
    let labels = (0..n_samples as i64).map(|idx| idx % 3).collect();
    let mut arrays = std::collections::BTreeMap::from([
        ("x".to_owned(), Tensor::new::<f32>(&[n_samples, 3], values(1)).into()),
        ("labels".to_owned(), Tensor::new::<i64>(&[n_samples], labels).into()),
    ]);
    if has_targets {
        arrays.insert("targets".to_owned(), Tensor::new::<f32>(&[n_samples, 3], values(3)).into());
    }
    let data = DataSet::new("data", arrays);
    let feeding = Feeding { batch: Some(4), ..Feeding::default() };
    let feed = data.feed(&model(), &feeding).unwrap();
    let original = OriginalModel::new(Arc::default(), &model()).unwrap();
    DataScorer::new(original, feed, &data, vec![metric.clone()]).unwrap()
}

/// A model whose output differs from that of [`model`].
fn changed_model() -> Model {
    let text = "model m opset 17\n%x = input : f32[N,3]\n%c = const [2.0, 0.1, 0.3] : f32[3]\n\
                %y = Mul(%x, %c)\nreturn %y\n";
    text.parse().unwrap()
}

#[test]
fn early_stopping_never_changes_a_verdict() {
    for name in ["top1", "top2", "mse", "cosine", "sqnr"] {
        let (mut n_stopped, mut n_scored) = (0, [0, 0]);
        for n_samples in [1, 4, 13, 40] {
            let metric = metric_named(name).unwrap();
            let score = |model: &Model, mode, misses: Option<OutOfReach<'_>>, references| {
                scored(&mut scorer(&metric, n_samples, true), model, mode, misses, references)
            };
            let original = score(&model(), ScoringMode::Original, None, None);
            let first = score(&changed_model(), ScoringMode::Detailed, None, None);
            assert_eq!(first.contributions.is_empty(), name == "sqnr");
            let whole = score(&changed_model(), ScoringMode::Later, None, None);
            assert_eq!((&whole.values, whole.contributions.len()), (&first.values, 0));
            // Bounds below, at and above the metric.
            for offset in [-10.0, -1.0, -0.5, -0.1, -0.01, 0.0, 0.01, 0.1, 0.5, 1.0, 10.0] {
                let goal = Goal::of(&metric, Target::Bound(whole.values[0] + offset));
                let satisfied = |values: &[f64]| goal.judge(whole.values[0], values[0]).satisfied;
                let misses = |best: &Score| !satisfied(&best.values);
                for (references, n_scored) in [None, Some([&original, &first])].into_iter().zip(&mut n_scored)
                {
                    let found = score(&changed_model(), ScoringMode::Later, Some(&misses), references);
                    let case = format!("{name} of {n_samples}, {offset}");
                    assert_eq!(satisfied(&found.values), satisfied(&whole.values), "{case}");
                    if found.stopped_after.is_none() {
                        assert_eq!((&found.values, &found.noise), (&whole.values, &whole.noise), "{case}");
                    }
                    n_stopped += usize::from(found.stopped_after.is_some());
                    *n_scored += found.effort.samples.unwrap();
                }
            }
        }
        assert_eq!(n_stopped > 0, name != "sqnr", "{name}");
        assert!(n_scored[1] <= n_scored[0], "{name}: {n_scored:?} samples");
    }
}

#[test]
fn a_score_does_not_depend_on_the_number_of_threads() {
    for (name, bound) in [("top1", 0.9), ("mse", 0.1), ("cosine", 0.999)] {
        let metric = metric_named(name).unwrap();
        let scores = [1, 2, 3, 7].map(|n_threads| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            threads.install(|| {
                let goal = Goal::of(&metric, Target::Bound(bound));
                let misses = |best: &Score| !goal.judge(1.0, best.values[0]).satisfied;
                [None, Some(&misses as OutOfReach<'_>)].map(|misses| {
                    scored(
                        &mut scorer(&metric, 101, true),
                        &changed_model(),
                        ScoringMode::Later,
                        misses,
                        None,
                    )
                })
            })
        });
        assert!(scores[0][1].stopped_after.is_some(), "{name}");
        assert!(scores.iter().all(|score| *score == scores[0]), "{name}: {scores:?}");
    }
}

#[test]
fn a_model_with_known_output_fingerprints_is_not_run_again() {
    let mut scorer = scorer(&metric_named("mse").unwrap(), 9, true);
    let mut score =
        |model: &str| scored(&mut scorer, &model.parse().unwrap(), ScoringMode::Detailed, None, None);
    let model = |constant: &str, name: &str| {
        format!(
            "model m opset 17\n%x = input : f32[N,3]\n%c = const [{constant}] : f32[1]\n\
                 %{name} = Add(%x, %c)\nreturn %{name}\n"
        )
    };
    let (first, other) = (score(&model("2.0", "y")), score(&model("2.0000002", "y")));
    let again = score(&model("2.0", "renamed"));
    assert_eq!(
        [first.effort, other.effort, again.effort].map(|effort| effort.samples),
        [Some(9), Some(9), Some(0)]
    );
    assert_eq!((&again.values, &again.noise), (&first.values, &first.noise));
    let constant = "model m opset 17\n%x = input : f32[N,3]\n%c = const [1.0, 2.0, 3.0] : f32[1,3]\n\
                    %s = Shape(%x)\n%y = Expand(%c, %s)\nreturn %y\n";
    assert_eq!([score(constant), score(constant)].map(|score| score.effort.samples), [Some(9), Some(0)]);
}

#[test]
fn without_targets_the_outputs_of_the_original_are_the_targets() {
    let mut scorer = scorer(&metric_named("mse").unwrap(), 9, false);
    let mut score = |model: &Model| scored(&mut scorer, model, ScoringMode::Later, None, None).values[0];
    assert_eq!(score(&model()), 0.0);
    let plus_two =
        "model m opset 17\n%x = input : f32[N,3]\n%c = const [2.0] : f32[1]\n%y = Add(%x, %c)\nreturn %y\n";
    assert_eq!(score(&plus_two.parse().unwrap()), 4.0);
}
