import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0011_turn_resume"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="pruned_at",
            field=models.DateTimeField(
                help_text="when its old events, calls, turns and checks were removed", null=True
            ),
        ),
        migrations.AddField(
            model_name="node",
            name="proof",
            field=models.ForeignKey(
                help_text="the check that showed the story to be done; None where no check command was set",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="swarm.checkrun",
            ),
        ),
        migrations.AddField(
            model_name="node",
            name="review",
            field=models.CharField(
                blank=True,
                choices=[("approved", "Approved"), ("rejected", "Rejected"), ("reverted", "Reverted")],
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="node",
            name="review_comment",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="node",
            name="reviewed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="reviewed_by",
            field=models.CharField(blank=True, help_text="the user's name as it was then", max_length=150),
        ),
    ]
