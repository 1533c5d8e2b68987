//! A picture as PNG.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// The fonts lie in the binary, so that the same SVG has the same pixels everywhere.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("fonts/DejaVuSans-subset.ttf").to_vec());
    fonts.load_font_data(include_bytes!("fonts/DejaVuSerif-subset.ttf").to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    fonts.set_serif_family("DejaVu Serif");
    Arc::new(fonts)
});

#[derive(Debug, thiserror::Error)]
pub enum PngError {
    #[error("the SVG can't be read")]
    Svg(#[from] resvg::usvg::Error),
    #[error("a picture of {width} × {height} pixels is too large")]
    Size { width: f32, height: f32 },
    #[error("the PNG can't be written: {0}")]
    Encode(String),
}

/// Paints `svg` with `scale` pixels for each of CSS.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PngError> {
    let tree = tree(svg)?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).ceil(), (size.height() * scale).ceil());
    let mut pixels = Pixmap::new(width as u32, height as u32).ok_or(PngError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PngError::Encode(error.to_string()))
}

/// The picture as it would be painted, every text with its outline.
pub(super) fn tree(svg: &str) -> Result<Tree, PngError> {
    let options = Options {
        // Of the two that are there, what a picture names as `sans-serif`.
        font_family: "DejaVu Sans".into(),
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    Ok(Tree::from_str(svg, &options)?)
}
