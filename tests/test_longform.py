"""Long pieces, with denoisers that are perfect, ideal for a tiny data set, or simple."""

import pytest
import torch
from ideal_denoisers import DDIM, SAMPLERS, SCHEDULE, ideal, last, random_roll, simple

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.inpainting import Known
from diffbgm.diffusion.longform import HOPS, METHODS, Job, Plan, blended, chunked, plan
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.samplers import SeededNoise, build_sampler
from diffbgm.errors import InputError
from diffbgm.generation.threads import side_by_side
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import build_network


@pytest.mark.parametrize(
    ("total", "method", "count", "length"),
    [
        (128, "joint", 1, 128),
        (129, "joint", 2, 192),
        (192, "outpaint", 2, 192),
        (193, "outpaint", 3, 256),
        (1, "outpaint", 1, 128),
        (129, "independent", 2, 256),
        (4800, "joint", 74, 4800),
        (4800, "independent", 38, 4864),
    ],
)
def test_a_plan_covers_the_piece(total, method, count, length):
    windows = plan(total, method)
    assert (windows.count, windows.length) == (count, length)
    assert list(windows.starts) == [HOPS[method] * k for k in range(count)]
    assert windows.length >= total


def test_impossible_plans_are_named():
    with pytest.raises(InputError, match="longform is 'loop'; give one of independent, outpaint, joint"):
        plan(128, "loop")
    with pytest.raises(InputError, match="has 0 steps"):
        plan(0, "joint")


@pytest.mark.parametrize("total", [40, 128, 300])
@pytest.mark.parametrize("method", METHODS)
def test_a_perfect_denoiser_gives_every_piece_back(method, total):
    """Two pieces of different lengths in one batch; the denoiser knows what each window should be."""
    pieces = [Job(plan(steps, method), (0, index)) for index, steps in enumerate((total, 200))]
    rolls = [random_roll(seed, piece.plan.length) for seed, piece in enumerate(pieces)]
    windows = torch.stack(
        [roll[:, start : start + 128] for roll, piece in zip(rolls, pieces, strict=True) for start in piece.plan.starts]
    )
    denoise = chunked(lambda x, t, rows: SCHEDULE.eps_from_x0(windows[rows], x, t), 2)
    states = list(METHODS[method](denoise, pieces, DDIM, SCHEDULE))
    assert [state.step for state in states] == list(range(states[0].steps))
    for roll, wanted, piece in zip(states[-1].rolls, rolls, pieces, strict=True):
        assert roll.shape == (2, piece.plan.total, 128)
        assert (roll - wanted[:, : piece.plan.total]).abs().max() < 1e-4


def sounding_pitches(method, seed, name="ddim", **options):
    """Samples of three or five windows from data in which one of six pitches is held for eight bars: pitch per step."""
    held = torch.zeros(6, 2, 128, 128)
    held[torch.arange(6), 1, :, torch.arange(40, 100, 10)] = 1
    sampler = build_sampler(name, 20, clip=[0, 1], **options)
    (roll,) = last(METHODS[method](ideal(held), [Job(plan(384, method), (seed,))], sampler, SCHEDULE))
    assert ((roll[1] > 0.5).sum(1) <= 1).all()
    return (roll[1]).argmax(1)


@pytest.mark.parametrize(("name", "options"), SAMPLERS)
def test_a_held_note_is_not_broken_by_outpaint(name, options):
    for seed in range(2):
        assert len(sounding_pitches("outpaint", seed, name, **options).unique()) == 1
    assert len(sounding_pitches("independent", 1)[::128].unique()) > 1  # windows that do not know of each other


def test_a_held_note_is_not_broken_at_the_edges_of_joint_windows():
    """Joint windows may settle on two pitches (docs/log.md), but then they part inside a window, not at its edge."""
    for seed in range(3):
        pitches = sounding_pitches("joint", seed)
        changes = (pitches[1:] != pitches[:-1]).nonzero() + 1
        assert not (changes % 64 == 0).any()


def test_where_windows_agree_joint_is_one_walk_over_the_whole_field():
    def pointwise(x, t, rows=None):
        return 0.6 * x + 0.4 * torch.sin(2 * x + t.reshape(-1, 1, 1, 1) / 300)

    (roll,) = last(METHODS["joint"](pointwise, [Job(plan(320, "joint"), (2,))], DDIM, SCHEDULE))
    noise = SeededNoise([(2, 0)], (2, 320, 128))
    *_, state = DDIM(pointwise, noise(), SCHEDULE, noise)
    torch.testing.assert_close(roll, state.x0[0], atol=1e-4, rtol=0)


def test_outpaint_never_changes_what_is_finished():
    pieces = [Job(plan(300, "outpaint"), (3,)), Job(plan(100, "outpaint"), (4,))]
    states = list(METHODS["outpaint"](simple, pieces, DDIM, SCHEDULE, threshold=0.5))
    final = states[-1].rolls[0]
    assert set(final.unique().tolist()) == {0.0, 1.0}
    assert len(states) == 4 * 6
    for window in range(4):
        after = states[window * 6 + 5].rolls[0]
        done = min(300, 64 * window + 128)
        assert torch.equal(after[:, :done], final[:, :done])
        assert not after[:, done:].any()
        assert torch.equal(states[window * 6 + 5].rolls[1], states[-1].rolls[1])


def test_outpaint_shows_each_window_the_end_of_the_one_before():
    """With all steps at t = 0 or close the network sees almost clean music: its first half is the finished roll."""
    seen = {}

    def spying(x, t, rows):
        seen[int(rows[0]), int(t[0])] = x[0]
        return simple(x, t, rows)

    sampler = build_sampler("dpm", 10, through=[200, 0])
    (roll,) = last(METHODS["outpaint"](spying, [Job(plan(256, "outpaint"), (5,))], sampler, SCHEDULE))
    for window in (1, 2):
        shown = seen[window, 0][:, :64]
        assert (shown - roll[:, 64 * window : 64 * window + 64]).abs().max() < 0.2  # noise of std 0.03


def test_blending_weights_sum_to_one_and_fade():
    plans = [Plan(256, 64), Plan(128, 64)]
    field = blended(lambda x, t, rows: torch.ones_like(x), plans)
    x, t = torch.randn(1, 2, 384, 128), torch.tensor([500])
    torch.testing.assert_close(field(x, t), torch.ones_like(x))
    numbered = blended(lambda x, t, rows: rows.reshape(-1, 1, 1, 1).float().expand_as(x), plans)(x, t)[0, 0, :, 0]
    assert numbered[:64].eq(0).all()  # the first window alone
    assert numbered[256:].eq(3).all()  # the other piece
    assert (numbered[64:192].diff() > 0).all()  # from window 0 over 1 to 2, without a step
    assert numbered.diff()[:255].max() < 0.03
    assert numbered[64 + 31 : 64 + 33].mean().item() == pytest.approx(0.5)


def test_windows_are_cut_where_the_plan_says():
    plans = [Plan(200, 64), Plan(10, 64)]
    field = torch.arange(256 + 128).float()[None, None, :, None].expand(1, 2, -1, 128)
    seen = []
    blended(lambda x, t, rows: seen.append((x[:, 0, 0, 0].tolist(), rows.tolist())) or x, plans)(field, torch.zeros(1))
    assert seen == [([0.0, 64.0, 128.0, 256.0], [0, 1, 2, 3])]


@pytest.mark.parametrize("method", METHODS)
def test_a_piece_does_not_depend_on_the_others(method):
    def sample(*pieces):
        offsets = torch.cat([torch.arange(piece.plan.count) for piece in pieces])  # each piece has its own windows
        denoise = chunked(lambda x, t, rows: simple(x, t, offsets[rows]), 3)
        return last(METHODS[method](denoise, pieces, DDIM, SCHEDULE))

    one, other = Job(plan(320, method), (8, 0)), Job(plan(140, method), (8, 1))
    together = sample(other, one)
    assert torch.equal(together[1], sample(one)[0])
    assert torch.equal(together[0], sample(other)[0])
    assert not torch.equal(sample(Job(one.plan, (9, 0)))[0], together[1])


def test_chunks_all_have_one_size():
    sizes = []

    def counting(x, t, rows):
        sizes.append((len(x), len(t), len(rows)))
        return simple(x, t, rows)

    x, t, rows = torch.randn(7, 2, 128, 128), torch.arange(7) * 100, torch.arange(7)
    assert torch.equal(chunked(counting, 3)(x, t, rows), simple(x, t, rows))
    assert sizes == [(3, 3, 3)] * 3


def small_network(**options):
    """A network with random weights, and six conditions encoded by it."""
    torch.manual_seed(0)
    unet = {"channels": 32, "attention_levels": [1], "n_res_blocks": 1, "channel_multipliers": [1, 2], "n_heads": 2}
    conditioner = {"visual_width": 9, "language_width": 12, "selector": {"strategy": "language_video"}}
    unet |= {"d_cond": 32, "pack": [4, 4], **options}
    network = build_network({"unet": unet, "conditioner": conditioner}).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    condition = Condition(
        torch.rand(6, 32, 9), torch.rand(6, 32, 12), torch.ones(6, 32, dtype=torch.bool), torch.full((6,), 8)
    )
    with torch.no_grad():
        return network, network.encode(condition)


@pytest.mark.parametrize("size", [1, 4])
def test_the_networks_answer_for_a_row_does_not_depend_on_how_many_rows_there_are(size):
    """Bit for bit, through convolutions, attention and both halves of guidance."""
    network, encoded = small_network()
    denoise = chunked(Denoiser(network, build_objective("x0_logits", SCHEDULE)).conditioned(encoded, 3.0), size)
    x, t = torch.randn(6, 2, 128, 128), torch.full((6,), 300)
    whole = denoise(x, t, torch.arange(6))
    for rows in ([0], [5], [1, 4], [3, 2, 1], [5, 0, 1, 2, 3]):
        assert torch.equal(denoise(x[rows], t[rows], torch.tensor(rows)), whole[rows])


@pytest.mark.parametrize("size", [1, 2, 4])
def test_rows_remember_their_own_x0_however_they_are_grouped(size):
    """Two calls of a network with self_condition: calls of `size` rows, the last filled up, are calls of all rows."""
    network, encoded = small_network(self_condition=True)
    objective, x = build_objective("x0_posterior", SCHEDULE), torch.randn(3, 2, 128, 128)
    rows, early, late = torch.arange(3), torch.full((3,), 300), torch.full((3,), 250)
    answers = []
    for limit in (size, 3):
        denoise = chunked(Denoiser(network, objective).conditioned(encoded, 2.0), limit)
        denoise(x, early, rows)
        answers.append(denoise(x, late, rows))
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-5)
    with side_by_side(torch.device("cpu"), 3) as calls:
        denoise = chunked(Denoiser(network, objective).conditioned(encoded, 2.0), size, calls)
        denoise(x, early, rows)
        torch.testing.assert_close(denoise(x, late, rows), answers[0], atol=0, rtol=0)
    fresh = Denoiser(network, objective).conditioned(encoded, 2.0)(x, late, rows)
    assert (answers[0] - fresh).abs().amax(dim=(1, 2, 3)).min() > 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_a_given_melody_is_kept_in_a_long_piece(method):
    melody, mask = random_roll(7, 200), torch.zeros(2, 200, 128, dtype=torch.bool)
    mask[:, 30:170, 60:90] = True
    given = Job(plan(200, method), (6,), Known(melody, mask))
    free = Job(plan(200, method), (6,))
    roll, other = last(METHODS[method](simple, [given, free], DDIM, SCHEDULE))
    assert torch.equal(roll[mask], melody[mask])
    assert not torch.equal(other[mask], melody[mask])
