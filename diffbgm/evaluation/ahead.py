"""What takes long in an evaluation, computed ahead for some of its songs and kept, so that many processes share it.

Slow numbers of songs and of the reference, tagger rows and features of videos go where the evaluation itself looks for
them (`Options.numbers` and `Options.cache`); it then computes what is quick, and what concerns all songs at once.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.evaluation.measure import SLOW
from diffbgm.evaluation.search import Searching, read_rows
from diffbgm.evaluation.songs import Song, find_songs
from diffbgm.evaluation.suite import Options, Progress, groups_of_songs, measured, sampled, wanted
from diffbgm.video.features import cached
from diffbgm.video.folder import find_sources

Share = Callable[[Sequence[Song]], list[Song]]  # this process's part of some songs


def measure_ahead(folders: Sequence[Path], options: Options, share: Share, progress: Progress) -> tuple[int, list[str]]:
    """Compute and keep what is slow for this process's share; how many songs of `folders` it is, and what failed.

    InputError where nothing is kept, a folder holds nothing, or a metric is unknown.
    """
    if options.numbers is None:
        raise InputError("shards of an evaluation keep their numbers; give numbers=FOLDER, which all of them share")
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


def _features(songs: Sequence[Song], options: Options, progress: Progress) -> list[str]:
    """Features of the songs' videos, where alignment is wanted; what failed."""
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
    songs: Sequence[Song], reference: Sequence[Song], options: Options, share: Share, progress: Progress
) -> list[str]:
    """The tagger's rows of songs and their partners, where retrieval is wanted; what failed."""
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
