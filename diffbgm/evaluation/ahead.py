"""Compute the slow parts of an evaluation ahead of time, so that many processes can share the work.

The slow metrics of the songs and of the reference, the tagger's rows and the features of the videos are stored where
the evaluation looks for them (`Options.numbers` and `Options.cache`). The evaluation itself then computes only the
fast metrics and those that need all songs at once.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.evaluation.measure import SLOW
from diffbgm.evaluation.search import Searching, read_rows
from diffbgm.evaluation.songs import SongFile, find_songs
from diffbgm.evaluation.suite import Options, Progress, groups_of_songs, measured, sampled, wanted
from diffbgm.video.features import cached
from diffbgm.video.folder import find_sources

Share = Callable[[Sequence[SongFile]], list[SongFile]]  # picks this process's share of the songs


def measure_ahead(folders: Sequence[Path], options: Options, share: Share, progress: Progress) -> tuple[int, list[str]]:
    """Compute and store the slow parts for this process's share of the songs in `folders`.

    Returns the number of songs in the share and one sentence per failure. Raises InputError if `options.numbers` is not
    set, a folder holds no songs, or a metric is unknown.
    """
    if options.numbers is None:
        raise InputError("the shards of an evaluation need a shared folder for their numbers; give numbers=FOLDER")
    groups, _, _ = groups_of_songs(options)
    reference = [] if options.reference is None else find_songs(options.reference)
    count, failed = 0, []
    for folder in folders:
        songs = find_songs(folder)
        own = share(songs)
        rows = measured(own, groups, options, progress, folder.name) if own else []
        failed += [f"{row.song} ({row.error})" for row in rows if row.error is not None]
        failed += [f"{group} of {row.song} ({why})" for row in rows for group, why in row.failed.items()]
        failed += _features(own, options, progress)
        failed += _tagger_rows(songs, reference, options, share, progress)
        count += len(own)
    slow = [group for group in groups if group in SLOW]
    if slow and (own := share(sampled(reference, options))):
        measured(own, slow, options, progress, "reference")
    return count, failed


def _features(songs: Sequence[SongFile], options: Options, progress: Progress) -> list[str]:
    """Store the features of the songs' videos if alignment is measured; returns one sentence per failure."""
    if options.videos is None or options.extractor is None or not wanted(options, "alignment", options.videos):
        return []
    videos = {source.name: source.path for source in find_sources(options.videos)}
    paired, failed = [song for song in songs if song.name in videos], []
    for song in progress(paired, len(paired), "features"):
        try:
            cached(videos[song.name], options.extractor, options.cache)
        except InputError as error:
            failed.append(f"alignment of {song.name} ({error})")
    return failed


def _tagger_rows(
    songs: Sequence[SongFile], reference: Sequence[SongFile], options: Options, share: Share, progress: Progress
) -> list[str]:
    """Store the tagger's rows of songs and references if retrieval is measured; returns one sentence per failure."""
    if not wanted(options, "retrieval", options.reference):
        return []
    both = {song.name for song in songs} & {song.name for song in reference}
    own = share([song for part in (songs, reference) for song in part if song.name in both])
    how = Searching(options.musicnn, options.soundfont, options.numbers, options.repeated_rows, options.seed)
    try:
        failed = read_rows(own, how, progress, "rows")[1] if own else {}
    except InputError as error:
        return [f"retrieval ({error})"]
    return [f"retrieval of {name} ({why})" for name, why in failed.items()]
