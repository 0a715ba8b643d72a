//! Folders, tables and single images as data sets, beside what Pillow makes of them.

use super::*;
use crate::data::{Feeding, read_npz};
use std::fs;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/images").join(name)
}

fn model(ty: &str) -> Model {
    format!("model m opset 17\n%x = input : {ty}\n%y = Identity(%x)\nreturn %y\n").parse().unwrap()
}

/// The samples of a path.
fn fed(path: &Path, ty: &str, images: ImageSettings) -> Result<Tensor> {
    let (model, feeding) = (model(ty), Feeding { images, raw_bytes: true, ..Feeding::default() });
    let feed = DataSet::read_for(path, &model, &feeding)?.feed(&model, &feeding)?;
    let batches = feed.batches().map(|samples| Ok(feed.inputs(samples)?.remove(0)));
    crate::data::stacked(&batches.collect::<Result<Vec<_>>>()?, 0)
}

fn message(path: &Path, ty: &str) -> String {
    let message = fed(path, ty, ImageSettings::default()).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Files with the pixels of one fixture, in a new folder.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let stem = Path::new(file).file_name().unwrap().to_str().unwrap();
        match stem.ends_with(".png") {
            true => drop(fs::copy(fixture("grey.png"), path).unwrap()),
            false => fs::write(path, "text").unwrap(),
        }
    }
    folder
}

const GREY: &str = "u8[N,1,8,8]";

/// The largest difference from Pillow: of resized images the rounding of two passes, of JPEG files that of the decoders.
#[test]
fn images_are_those_of_pillow() {
    let expected = read_npz(&fixture("pillow.npz")).unwrap();
    assert!(expected.len() > 40);
    for (case, array) in &expected {
        let [file, resize, crop, interpolation, mode] = case.split('|').collect::<Vec<_>>()[..] else {
            panic!("{case}");
        };
        let settings = ImageSettings {
            resize: (!resize.is_empty()).then(|| resize.parse().unwrap()),
            crop: (!crop.is_empty()).then(|| crop.parse().unwrap()),
            interpolation: interpolation.parse().unwrap(),
            layout: Some(Layout::Nhwc),
            channels: Some(if mode == "L" { Channels::Grey } else { Channels::Rgb }),
            classes: None,
        };
        let found = fed(&fixture(file), "u8[N,H,W,C]", settings).unwrap();
        let expected = array.whole().unwrap();
        let n_channels = if mode == "L" { 1 } else { 3 };
        let shape = [&[1], &expected.shape()[..2], &[n_channels]].concat();
        assert_eq!(found.shape(), shape, "{case}");
        let differences = found.values::<u8>().unwrap().iter().zip(expected.values::<u8>().unwrap());
        let most = differences.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let is_jpeg = file.to_lowercase().ends_with("jpg");
        let tolerance = if is_jpeg { 3 } else { u8::from(!resize.is_empty()) };
        assert!(most <= tolerance, "{case}: differs by {most} from Pillow, more than {tolerance}");
    }
}

#[test]
fn of_16_bits_the_upper_ones_are_taken() {
    let settings = || ImageSettings { crop: Some("40".parse().unwrap()), ..ImageSettings::default() };
    let grey = fed(&fixture("grey_16.png"), "u8[N,1,H,W]", settings()).unwrap();
    let rgb = fed(&fixture("rgb.png"), "u8[N,3,H,W]", settings()).unwrap();
    assert_eq!(grey.values::<u8>().unwrap(), &rgb.values::<u8>().unwrap()[..1600]);
}

#[test]
fn layout_and_channels_are_those_of_the_input() {
    let of = |ty: &str, channels: Option<Channels>| {
        let settings = ImageSettings { channels, ..ImageSettings::default() };
        let found = fed(&fixture("rgb.png"), ty, settings).unwrap();
        (found.shape().to_vec(), found.values::<u8>().unwrap().to_vec())
    };
    let (shape, nhwc) = of("u8[N,24,32,3]", None);
    assert_eq!(shape, [1, 24, 32, 3]);
    let (shape, nchw) = of("u8[N,3,24,32]", None);
    assert_eq!(shape, [1, 3, 24, 32]);
    let n = 24 * 32;
    let channel = |channel: usize| nhwc.iter().copied().skip(channel).step_by(3).collect::<Vec<u8>>();
    assert_eq!(nchw, [channel(0), channel(1), channel(2)].concat());
    let (_, bgr) = of("u8[N,3,24,32]", Some(Channels::Bgr));
    assert_eq!(bgr, [channel(2), channel(1), channel(0)].concat());
    let (_, bgr) = of("u8[N,24,32,3]", Some(Channels::Bgr));
    assert_eq!(bgr.iter().copied().step_by(3).collect::<Vec<u8>>(), channel(2));
    let (shape, grey) = of("u8[N,1,24,32]", None);
    assert_eq!((shape, grey.len()), (vec![1, 1, 24, 32], n));
    let path = fixture("rgb.png");
    assert!(message(&path, "u8[N,4,24,32]").contains("input \"x\": has no dimension of 1 or 3 channels"));
    assert!(message(&path, "u8[3,24,32]").contains("takes no images: 4 dimensions are needed"));
    assert!(message(&path, "u8[N,3,H,W]").contains("takes images of any size"));
    let settings = ImageSettings { channels: Some(Channels::Grey), ..ImageSettings::default() };
    let error = fed(&path, "u8[N,3,24,32]", settings).unwrap_err().to_string();
    assert!(error.ends_with("has 3 channels in the layout nchw, and --channels grey makes 1"), "{error}");
}

/// The files and labels of a path, by file name.
fn listed(path: &Path, names: Option<&[String]>) -> Result<(Vec<String>, Option<Vec<i64>>)> {
    let found = listing(path, names)?;
    let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
    Ok((found.files.iter().map(name).collect(), found.labels))
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_folder_for_each_class_states_the_labels() {
    let made =
        folder(&["dog/b.PNG", "cat/2.png", "cat/10.png", "cat/.DS_Store", "cat/notes.txt", ".cache/x.png"]);
    fs::copy(fixture("grey.png"), made.path().join("dog/b.PNG")).unwrap();
    let found = listed(made.path(), None).unwrap();
    assert_eq!(found, (strings(&["10.png", "2.png", "b.PNG"]), Some(vec![0, 0, 1])));
    let names = strings(&["bird", "dog", "cat"]);
    assert_eq!(listed(made.path(), Some(&names)).unwrap().1, Some(vec![2, 2, 1]));
    let error = listed(made.path(), Some(&names[..2])).unwrap_err().to_string();
    assert!(
        error.ends_with("cat: the class \"cat\" is none of the 2 in --classes, which begin with \"bird\""),
        "{error}"
    );
    let data = DataSet::read_for(made.path(), &model(GREY), &Feeding::default()).unwrap();
    assert_eq!(data.notes.len(), 2);
    assert!(data.notes[0].ends_with(": 3 images, resized to cover 8x8, middle 8x8, bilinear, grey, nchw"));
    assert!(data.notes[1].ends_with(": 2 classes, from 0 = \"cat\" to 1 = \"dog\""), "{:?}", data.notes);
}

#[test]
fn folders_of_numbers_are_warned_of_where_names_and_numbers_differ() {
    let made = folder(&["0/a.png", "1/a.png", "10/a.png", "2/a.png"]);
    let data = DataSet::read_for(made.path(), &model(GREY), &Feeding::default()).unwrap();
    let warning = data.notes.last().unwrap();
    assert!(warning.contains("the class \"10\" has the number 2"), "{warning}");
    assert!(warning.starts_with("warning: "));
    let names = made.path().join("names.txt");
    fs::write(&names, "0\n1\n2\n3\n10\n").unwrap();
    let images = ImageSettings { classes: Some(names), ..ImageSettings::default() };
    let feeding = Feeding { images, ..Feeding::default() };
    let numbered = DataSet::read_for(made.path(), &model(GREY), &feeding).unwrap();
    assert!(numbered.notes.iter().all(|note| !note.starts_with("warning")), "{:?}", numbered.notes);
    let others = numbered.others(&model(GREY)).unwrap();
    assert_eq!(others[0], [("labels".to_owned(), Tensor::new(&[4], vec![0i64, 1, 4, 2]))]);
}

#[test]
fn folders_of_other_contents_are_errors() {
    let cases: [(&[&str], &str); 6] = [
        (
            &["cat/a.png", "dog/notes.txt"],
            "dog: is the folder of a class and holds no image; remove it, or add images",
        ),
        (
            &["cat/a.png", "cat/more/b.png"],
            "more: is a folder in the folder of a class; move its images up, or it away",
        ),
        (&["a.png", "cat/a.png"], ": holds images, and a folder of images, cat; move them apart"),
        (&["a.png", "b.npz"], ": holds images and arrays such as b.npz; move them apart"),
        (
            &["cat/a.png", "cat/b.TIF"],
            "b.TIF: can't be read; convert it to a .png, or to one of JPEG, PNG, WebP, BMP and PNM",
        ),
        (
            &["notes.txt", "x.mp4"],
            ": holds no .npz, .npy or .safetensors file and no image, but .mp4, .txt; save the samples as arrays with numpy.savez, see docs/your-data.md",
        ),
    ];
    for (files, expected) in cases {
        let made = folder(files);
        let found = message(made.path(), GREY);
        assert!(found.ends_with(expected), "{found}");
    }
    let broken = folder(&["a.png", "b.jpg"]);
    assert!(message(broken.path(), GREY).contains("b.jpg: is no image; known are JPEG"));
    let photo = fs::read(fixture("photo.jpg")).unwrap();
    for (file, bytes, expected) in [
        ("a.png", &fs::read(fixture("rgb.png")).unwrap()[..2000], "a.png: is a broken image: "),
        ("b.jpg", &photo[..photo.len() - 40], "b.jpg: is a broken image: the file is cut off"),
        ("b.jpg", &photo[..20], "b.jpg: is a broken image"),
        ("b.jpg", &[], "b.jpg: is no image"),
    ] {
        let made = tempfile::tempdir().unwrap();
        fs::write(made.path().join(file), bytes).unwrap();
        let found = message(made.path(), GREY);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_table_states_files_and_labels() {
    let made = folder(&["a.png", "sub/b, c.png", "d.png"]);
    let table = made.path().join("labels.csv");
    let with = |text: &str, names: Option<&[String]>| {
        fs::write(&table, text).unwrap();
        listed(&table, names)
    };
    let files = strings(&["d.png", "b, c.png", "a.png"]);
    let lines = "d.png,3\n\"sub/b, c.png\",-1\na.png,0\n";
    assert_eq!(with(lines, None).unwrap(), (files.clone(), Some(vec![3, -1, 0])));
    let header = format!("\u{feff}Filename , Label\r\n{}", lines.replace('\n', "\r\n"));
    assert_eq!(with(&header, None).unwrap(), (files.clone(), Some(vec![3, -1, 0])));
    let wide = "id,label,path,split\n0,cat,d.png,val\n1,dog,\"sub/b, c.png\",val\n2,cat,a.png,val\n";
    assert_eq!(with(wide, None).unwrap(), (files.clone(), Some(vec![0, 1, 0])));
    let names = strings(&["dog", "cat"]);
    assert_eq!(with(wide, Some(&names)).unwrap().1, Some(vec![1, 0, 1]));
    // As tables with missing labels are often written.
    assert_eq!(with("a.png,3.0\nd.png,1.00\n", None).unwrap().1, Some(vec![3, 1]));
    assert_eq!(with("a.png,v1.0\nd.png,v1.5\n", None).unwrap().1, Some(vec![0, 1]));
    assert_eq!(with("a.png\nd.png\n", None).unwrap(), (strings(&["a.png", "d.png"]), None));
    let error = |text: &str| {
        let error = with(text, None).unwrap_err().to_string();
        error.split_once("labels.csv: ").unwrap().1.to_owned()
    };
    assert_eq!(error(""), "names no file; write a line file,label for each image");
    assert_eq!(error("a.png,1\n\nd.png,\n"), "line 3: has no label, and other lines do");
    assert_eq!(error("a.png,\nd.png,1\n"), "line 2: has a label, and line 1 has none");
    assert!(error("a.png,1\nx.png,2\n").ends_with("x.png is no file"));
    assert!(error("a.png;1\n").ends_with("a.png;1 is no file; separate file and label by a comma"));
    assert!(error("a.png,1\nd.png,cat\n").starts_with("line 2: the label \"cat\" is no number, and other"));
    for odd in ["3.5", "1e3", "99999999999999999999"] {
        let message = error(&format!("a.png,{odd}\n"));
        assert!(
            message.starts_with(&format!("line 1: the label \"{odd}\" is no number of a class")),
            "{message}"
        );
    }
    assert!(error("a.png,1,x\n").starts_with("line 1: has 3 columns and no header; write file,label"));
    fs::write(&table, b"a.png,1\n\xff.png,2\n").unwrap();
    assert!(listed(&table, None).unwrap_err().to_string().contains("line 2: is not UTF-8"));
}

#[test]
fn class_names_are_one_a_line_and_different() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let names = |text: &str| {
        fs::write(file.path(), text).unwrap();
        class_names(file.path()).map_err(|error| error.to_string())
    };
    assert_eq!(names("\u{feff}cat\r\ndog \n\n").unwrap(), strings(&["cat", "dog"]));
    assert!(names("cat\n\ndog\n").unwrap_err().ends_with("line 2 is empty; it must name class 1"));
    assert!(names("cat\ndog\ncat\n").unwrap_err().ends_with("lines 1 and 3 both name the class \"cat\""));
    assert!(names("\n").is_err());
}

#[test]
fn each_image_is_decoded_once_and_read_in_any_order() {
    let made = folder(&["a.png", "c.png"]);
    fs::copy(fixture("rgb.png"), made.path().join("b.png")).unwrap();
    let files = listing(made.path(), None).unwrap().files;
    let model = model("u8[N,1,8,8]");
    let form = form(&Input::all_of(&model)[0], &ImageSettings::default()).unwrap();
    let one = |file: &str| decode::read_image(&made.path().join(file), &form).unwrap();
    let (a, b) = (one("a.png"), one("b.png"));
    let array = ImageArray::new(files, form);
    let pick = |samples: &[usize]| array.pick(0, samples).unwrap().values::<u8>().unwrap().to_vec();
    assert_eq!(pick(&[1]), b);
    // What has been decoded is not read from the folder again.
    drop(made);
    assert_eq!(pick(&[1, 1]), [b.clone(), b].concat());
    let error = array.pick(0, &[2, 1, 0]).unwrap_err().to_string();
    assert!(error.contains("a.png: "), "{error}");
    assert!(array.pick(1, &[0]).is_err() && a.len() == 64);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_and_links_to_outer_folders_are_read() {
    use std::os::unix::ffi::OsStrExt;
    let made = folder(&["cat/a.png"]);
    let name = std::ffi::OsStr::from_bytes(b"dog\xff");
    fs::create_dir(made.path().join(name)).unwrap();
    fs::copy(fixture("grey.png"), made.path().join(name).join(std::ffi::OsStr::from_bytes(b"\xfe.png")))
        .unwrap();
    let found = fed(made.path(), GREY, ImageSettings::default()).unwrap();
    assert_eq!(found.shape(), [2, 1, 8, 8]);
    std::os::unix::fs::symlink(made.path(), made.path().join("cat/loop")).unwrap();
    assert!(message(made.path(), GREY).contains("loop: is a folder in the folder of a class"));
}
