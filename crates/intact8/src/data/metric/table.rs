//! The table of the metrics.

use super::classes::{Overlap, TopK};
use super::errors::{Cosine, MeanError, NoiseRatio};
use super::precision::AveragePrecision;
use super::ranks::{RankCorrelation, RocArea};
use super::{Better, Tally, Truth};

/// A kind of metric. All metrics use the model's first output that is a tensor.
pub struct MetricRow {
    /// Its name on the command line; a final `K` stands for a number.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// Whether higher or lower values are better.
    pub better: Better,
    /// Whether the best value is 1, and 0 is worthless.
    pub is_share: bool,
    /// The least and the greatest value.
    pub bounds: [f64; 2],
    /// The values that the output is compared with.
    pub truth: Truth,
    /// Makes an empty tally; `k` is the number in the name.
    pub(super) tally: fn(k: usize) -> Box<dyn Tally>,
}

/// The metrics.
pub static METRICS: &[MetricRow] = &[
    MetricRow {
        name: "topK",
        about: "the share of samples whose label is among the K greatest outputs",
        better: Better::Higher,
        is_share: true,
        bounds: [0.0, 1.0],
        truth: Truth::Labels,
        tally: |k| Box::new(TopK::new(k)),
    },
    MetricRow {
        name: "miou",
        about: "the intersection of predicted and labelled pixels over their union, the mean over the classes",
        better: Better::Higher,
        is_share: true,
        bounds: [0.0, 1.0],
        truth: Truth::Labels,
        tally: |_| Box::new(Overlap::default()),
    },
    MetricRow {
        name: "auc",
        about: "the area under the ROC curve, for labels 0 and 1",
        better: Better::Higher,
        is_share: true,
        bounds: [0.0, 1.0],
        truth: Truth::Labels,
        tally: |_| Box::new(RocArea::default()),
    },
    MetricRow {
        name: "ap",
        about: "the average precision, for labels 0 and 1, or the mean over the classes",
        better: Better::Higher,
        is_share: true,
        bounds: [0.0, 1.0],
        truth: Truth::Labels,
        tally: |_| Box::new(AveragePrecision::default()),
    },
    MetricRow {
        name: "spearman",
        about: "the rank correlation of outputs and targets",
        better: Better::Higher,
        is_share: true,
        bounds: [-1.0, 1.0],
        truth: Truth::Targets,
        tally: |_| Box::new(RankCorrelation::default()),
    },
    MetricRow {
        name: "mse",
        about: "the mean squared difference from the targets",
        better: Better::Lower,
        is_share: false,
        bounds: [0.0, f64::INFINITY],
        truth: Truth::Targets,
        tally: |_| Box::new(MeanError::default()),
    },
    MetricRow {
        name: "cosine",
        about: "the cosine of the angle to the targets, the mean over the samples",
        better: Better::Higher,
        is_share: true,
        bounds: [-1.0, 1.0],
        truth: Truth::Targets,
        tally: |_| Box::new(Cosine::default()),
    },
    MetricRow {
        name: "sqnr",
        about: "the energy of the targets over that of the difference from them, in decibels, at most 200",
        better: Better::Higher,
        is_share: false,
        bounds: [-200.0, 200.0],
        truth: Truth::Targets,
        tally: |_| Box::new(NoiseRatio::to_energy()),
    },
    MetricRow {
        name: "psnr",
        about: "the squared range of the targets over the mean squared difference, in decibels, at most 200",
        better: Better::Higher,
        is_share: false,
        bounds: [-200.0, 200.0],
        truth: Truth::Targets,
        tally: |_| Box::new(NoiseRatio::to_peak()),
    },
];

/// Names that other tools have for metrics, in lower case.
pub(super) const OTHER_NAMES: &[(&str, &str)] = &[
    ("accuracy", "top1"),
    ("acc", "top1"),
    ("top-1", "top1"),
    ("top_1", "top1"),
    ("iou", "miou"),
    ("mean_iou", "miou"),
    ("auroc", "auc"),
    ("roc_auc", "auc"),
    ("average_precision", "ap"),
    ("auprc", "ap"),
    ("snr", "sqnr"),
];
